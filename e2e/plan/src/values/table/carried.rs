//! Rules of the kinds that only a cluster uses.

use super::{NODE_OPERATORS, NOT_NEGATIVE, OPERATORS, PORT, POSITIVE, PROTOCOLS, Rules};
use crate::{
    forms::*,
    values::{
        Rule::{self, Absent, Has, Is, Name, One, OneOf, That, Unique, Within},
        relations,
    },
};

pub(super) const INGRESS: Rules = &[
    ("", Has(&["spec"])),
    ("", That(relations::class)),
    ("spec", That(relations::ingress)),
    ("spec.ingressClassName", Name { dots: true }),
    ("spec.rules[].host", Is(HOST)),
    ("spec.rules[].http", Has(&["paths"])),
    ("spec.rules[].http.paths[]", Has(&["backend", "pathType"])),
    ("spec.rules[].http.paths[]", That(relations::path)),
    ("spec.rules[].http.paths[].pathType", OneOf(&["Exact", "Prefix", "ImplementationSpecific"])),
    ("spec.tls[].hosts[]", Is(HOST)),
    ("spec.tls[].secretName", Name { dots: true }),
    ("*ackend", One(&["service", "resource"])),
    ("*ackend.resource", Has(&["kind", "name"])),
    ("*ackend.service", Has(&["name", "port"])),
    ("*ackend.service.name", Name { dots: false }),
    ("*ackend.service.port", One(&["name", "number"])),
    ("*ackend.service.port.name", Is(PORT_NAME)),
    ("*ackend.service.port.number", PORT),
];

pub(super) const NETWORK_POLICY: Rules = &[
    ("*.matchExpressions[].operator", OPERATORS),
    ("spec.egress[].to[]", That(relations::peer)),
    ("spec.ingress[].from[]", That(relations::peer)),
    ("*.ipBlock", Has(&["cidr"])),
    ("*.ipBlock", That(relations::block)),
    ("*.ipBlock.cidr", Is(NETWORK)),
    ("*[].ports[]", That(relations::range)),
    ("*[].ports[].port", PORT),
    ("*[].ports[].port", Is(PORT_NAME)),
    ("*[].ports[].protocol", PROTOCOLS),
    ("spec.policyTypes[]", OneOf(&["Ingress", "Egress"])),
];

pub(super) const AUTOSCALER: Rules = &[
    ("", Has(&["spec"])),
    ("spec", Has(&["maxReplicas", "scaleTargetRef"])),
    ("spec", That(relations::autoscaler)),
    ("*.stabilizationWindowSeconds", Within(0, 3600)),
    ("*.selectPolicy", OneOf(&["Max", "Min", "Disabled"])),
    ("*.policies[]", Has(&["type", "value", "periodSeconds"])),
    ("*.policies[].periodSeconds", Within(1, 1800)),
    ("*.policies[].type", OneOf(&["Pods", "Percent"])),
    ("*.policies[].value", POSITIVE),
    ("spec.maxReplicas", POSITIVE),
    ("spec.metrics[]", Has(&["type"])),
    ("spec.metrics[]", That(relations::metric)),
    ("spec.metrics[].containerResource", Has(&["container", "name", "target"])),
    ("spec.metrics[].external", Has(&["metric", "target"])),
    ("spec.metrics[].object", Has(&["describedObject", "metric", "target"])),
    ("spec.metrics[].pods", Has(&["metric", "target"])),
    ("spec.metrics[].resource", Has(&["name", "target"])),
    ("spec.metrics[].type", OneOf(&["Resource", "ContainerResource", "Pods", "Object", "External"])),
    ("*.metric", Has(&["name"])),
    ("*.target", Has(&["type"])),
    ("spec.metrics[].containerResource.target", One(&["averageUtilization", "averageValue"])),
    ("spec.metrics[].external.target", One(&["value", "averageValue"])),
    ("spec.metrics[].object.target", One(&["value", "averageValue"])),
    ("spec.metrics[].pods.target", Has(&["averageValue"])),
    ("spec.metrics[].resource.target", One(&["averageUtilization", "averageValue"])),
    ("*.target.averageUtilization", POSITIVE),
    ("*.target.averageValue", Is(QUANTITY)),
    ("*.target.averageValue", That(relations::above_zero)),
    ("*.target.type", OneOf(&["Utilization", "Value", "AverageValue"])),
    ("*.target.value", Is(QUANTITY)),
    ("*.target.value", That(relations::above_zero)),
    ("*.describedObject", Has(&["kind", "name"])),
    // Zero needs a feature that is off.
    ("spec.minReplicas", NOT_NEGATIVE),
    ("spec.scaleTargetRef", Has(&["kind", "name"])),
    ("spec.scaleTargetRef.kind", Is(SEGMENT)),
    ("spec.scaleTargetRef.name", Is(SEGMENT)),
    ("spec.targetCPUUtilizationPercentage", POSITIVE),
];

pub(super) const BUDGET: Rules = &[
    ("spec", That(relations::budget)),
    ("spec.maxUnavailable", That(relations::part)),
    ("spec.minAvailable", That(relations::part)),
    ("spec.selector.matchExpressions[].operator", OPERATORS),
];

const ACCESS: Rule = OneOf(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]);
const VOLUME_MODES: Rule = OneOf(&["Filesystem", "Block"]);

pub(super) const CLAIM: Rules = &[
    ("", Has(&["spec"])),
    ("spec", Has(&["accessModes", "resources"])),
    ("spec.accessModes[]", ACCESS),
    ("spec.resources", Has(&["requests"])),
    ("spec.resources.requests", Has(&["storage"])),
    ("spec.resources.requests", Rule::Values(QUANTITY)),
    ("spec.resources.requests.storage", That(relations::above_zero)),
    ("spec.selector.matchExpressions[].operator", OPERATORS),
    ("spec.storageClassName", Name { dots: true }),
    ("spec.volumeMode", VOLUME_MODES),
];

pub(super) const VOLUME: Rules = &[
    ("", Has(&["spec"])),
    ("spec", Has(&["accessModes", "capacity"])),
    ("spec.accessModes[]", ACCESS),
    ("spec", That(relations::volume)),
    ("spec.capacity", Has(&["storage"])),
    ("spec.capacity", Rule::Values(QUANTITY)),
    ("spec.capacity.storage", That(relations::above_zero)),
    ("spec.csi", Has(&["driver", "volumeHandle"])),
    ("spec.nodeAffinity.required", Has(&["nodeSelectorTerms"])),
    ("spec.nodeAffinity.required.nodeSelectorTerms[].matchExpressions[]", Has(&["key", "operator"])),
    ("spec.nodeAffinity.required.nodeSelectorTerms[].matchExpressions[]", That(relations::expression)),
    ("spec.nodeAffinity.required.nodeSelectorTerms[].matchExpressions[].operator", NODE_OPERATORS),
    ("spec.persistentVolumeReclaimPolicy", OneOf(&["Retain", "Recycle", "Delete"])),
    ("spec.storageClassName", Name { dots: true }),
    ("spec.volumeMode", VOLUME_MODES),
];

pub(super) const STORAGE_CLASS: Rules = &[
    ("", Has(&["provisioner"])),
    ("provisioner", Is(PROVISIONER)),
    ("reclaimPolicy", OneOf(&["Delete", "Retain"])),
    ("volumeBindingMode", OneOf(&["Immediate", "WaitForFirstConsumer"])),
];

pub(super) const PRIORITY_CLASS: Rules =
    &[("", That(relations::priority)), ("preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"]))];

pub(super) const QUOTA: Rules = &[
    ("spec.hard", Rule::Values(QUANTITY)),
    ("spec.hard", That(relations::quota)),
    ("spec", That(relations::scopes)),
    ("spec.scopes[]", SCOPES),
    ("spec.scopeSelector.matchExpressions[]", Has(&["scopeName", "operator"])),
    ("spec.scopeSelector.matchExpressions[]", That(relations::expression)),
    ("spec.scopeSelector.matchExpressions[].operator", OPERATORS),
    ("spec.scopeSelector.matchExpressions[].scopeName", SCOPES),
];

const SCOPES: Rule = OneOf(&[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
]);

pub(super) const LIMITS: Rules = &[
    ("spec.limits", Unique(&["type"])),
    ("spec.limits[]", Has(&["type"])),
    ("spec.limits[]", That(relations::limit)),
    ("spec.limits[].default", Rule::Values(QUANTITY)),
    ("spec.limits[].defaultRequest", Rule::Values(QUANTITY)),
    ("spec.limits[].max", Rule::Values(QUANTITY)),
    ("spec.limits[].min", Rule::Values(QUANTITY)),
];

pub(super) const ROLE: Rules = &[("rules[]", Has(&["verbs"])), ("rules[]", That(relations::rights))];

/// A Role is about objects of its namespace.
pub(super) const NAMESPACED_ROLE: Rules =
    &[("rules[].nonResourceURLs", Absent("a Role has no nonResourceURLs", "write a ClusterRole for them"))];

pub(super) const BINDING: Rules = &[
    ("", Has(&["roleRef"])),
    ("roleRef", Has(&["kind", "name"])),
    ("roleRef.apiGroup", OneOf(&["rbac.authorization.k8s.io"])),
    ("roleRef.name", Is(SEGMENT)),
    ("subjects[]", Has(&["kind", "name"])),
    ("subjects[].kind", OneOf(&["ServiceAccount", "User", "Group"])),
    ("subjects[]", That(relations::subject)),
];

pub(super) const CLUSTER_ROLE_BINDING: Rules =
    &[("roleRef.kind", OneOf(&["ClusterRole"])), ("subjects[]", That(relations::subject_of_cluster))];

pub(super) const ENDPOINTS: Rules = &[
    ("subsets[]", That(relations::subset)),
    ("*ddresses[]", Has(&["ip"])),
    ("*ddresses[].ip", Is(ADDRESS)),
    ("*ddresses[].ip", That(relations::endpoint)),
    ("subsets[].ports[]", Has(&["port"])),
    ("subsets[].ports[].appProtocol", Is(QUALIFIED)),
    ("subsets[].ports[].name", Name { dots: false }),
    ("subsets[].ports[].port", PORT),
    ("subsets[].ports[].protocol", PROTOCOLS),
];

pub(super) const SLICE: Rules = &[
    ("", Has(&["addressType"])),
    ("addressType", OneOf(&["IPv4", "IPv6", "FQDN"])),
    ("endpoints[]", Has(&["addresses"])),
    ("ports[].protocol", PROTOCOLS),
];
