//! Objects that contradict themselves or each other, each with the whole message that a person sees. Places are those of
//! `BASE`'s lines.

use rstest::rstest;

use super::*;

const APP: &str = "Deployment/backend: spec.template.spec.containers[app]";
const VOLUMES: &str = "Deployment/backend: spec.template.spec.volumes";

#[rstest]
// Workloads.
#[case::nul_byte(
    "value: postgres:5432\n",
    "value: \"a\\0b\"\n",
    "app.yaml:25:15, document 1: {APP}.env[DB]: the value has a NUL byte, which no container runtime accepts; mount it as a file"
)]
#[case::negative_replicas(
    "replicas: 2",
    "replicas: -1",
    "app.yaml:6:3, document 1: Deployment/backend: spec.replicas: a negative number of replicas; write 0 or more"
)]
#[case::selector(
    "labels: {app: backend}",
    "labels: {app: front}",
    "app.yaml:7:3, document 1: Deployment/backend: spec.selector: the selector wants app=backend, which the pods' labels do not have; write the same labels in spec.template.metadata.labels"
)]
#[case::no_selector(
    "    matchLabels: {app: backend}\n",
    "    matchLabels: {}\n",
    "app.yaml:7:3, document 1: Deployment/backend: spec.selector: the workload has no selector; add matchLabels with the pods' labels"
)]
#[case::container_name(
    "- name: app\n          image",
    "- name: my_app\n          image",
    "app.yaml:19:11, document 1: Deployment/backend: spec.template.spec.containers[my_app].name: `my_app` is not a valid name; use lower-case letters, digits and `-` between them, at most 63 characters"
)]
#[case::port_name(
    "- name: http\n",
    "- name: http-of-the-backend\n",
    "2 errors in the manifests\n  app.yaml:32:15, document 1: {APP}.ports[http-of-the-backend].name: `http-of-the-backend` is not the name of a port; use lower-case letters, digits and single `-` between them, at most 15 characters, one of them a letter\n  app.yaml:38:37, document 1: {APP}.livenessProbe.httpGet.port: the container has no port named `http`; declared: 8000 (http-of-the-backend); use one of these, or add it to ports"
)]
#[case::volume_name(
    "- name: tmp\n",
    "- name: ../tmp\n",
    "2 errors in the manifests\n  app.yaml:16:11, document 1: Deployment/backend: spec.template.spec.volumes[../tmp].name: `../tmp` is not a valid name; use lower-case letters, digits and `-` between them, at most 63 characters\n  app.yaml:41:16, document 1: {APP}.volumeMounts[tmp].name: there is no volume `tmp`; volumes of the pod: ../tmp, config"
)]
#[case::restart_policy(
    "      volumes:\n",
    "      restartPolicy: Never\n      volumes:\n",
    "app.yaml:13:7, document 1: Deployment/backend: spec.template.spec.restartPolicy: restartPolicy `Never` is not allowed in a Deployment; write Always, or remove the field"
)]
#[case::no_image(
    "          image: backend:dev\n",
    "",
    "app.yaml:19:11, document 1: {APP}: the container has no image; add `image: <name>:<tag>`"
)]
#[case::no_container_name(
    "- name: app\n          image",
    "- image",
    "app.yaml:19:11, document 1: Deployment/backend: spec.template.spec.containers[0]: the container has no name; add one"
)]
#[case::same_container(
    "        - name: app\n",
    "        - {name: app, image: x}\n        - name: app\n",
    "app.yaml:20:11, document 1: {APP}: two containers are named `app`; rename one of the two"
)]
#[case::same_port_name(
    "- name: http\n",
    "- {containerPort: 1, name: http}\n            - name: http\n",
    "app.yaml:33:15, document 1: {APP}.ports[http]: two ports of the container are named `http`; rename one of the two"
)]
#[case::port_range(
    "containerPort: 8000",
    "containerPort: 80000",
    "app.yaml:33:15, document 1: {APP}.ports[http].containerPort: port 80000 does not exist; write a number from 1 to 65535"
)]
#[case::port_in_quotes(
    "containerPort: 8000",
    "containerPort: \"8000\"",
    "app.yaml:33:30, document 1: {APP}.ports[http].containerPort: expected an integer, found a string; remove the quotes, or correct the value"
)]
#[case::protocol(
    "containerPort: 8000",
    "containerPort: 8000\n              protocol: tcp",
    "app.yaml:34:15, document 1: {APP}.ports[http].protocol: `tcp` is none of its values; write TCP, UDP or SCTP"
)]
#[case::memory(
    "memory: 128Mi",
    "memory: 128MB",
    "app.yaml:36:33, document 1: {APP}.resources.limits.memory: `128MB` is not a quantity; write bytes as `128Mi`, `1G` or `134217728`"
)]
#[case::cpu(
    "cpu: 500m",
    "cpu: half",
    "app.yaml:36:22, document 1: {APP}.resources.limits.cpu: `half` is not a quantity; write cores as `500m`, `0.5` or `2`"
)]
#[case::request_above_limit(
    "memory: 64Mi",
    "memory: 256Mi",
    "app.yaml:35:35, document 1: {APP}.resources.requests.memory: the memory request 256Mi is above the limit 128Mi; lower the request or raise the limit"
)]
#[case::root(
    "          args: []",
    "          securityContext: {runAsNonRoot: true, runAsUser: 0}",
    "app.yaml:21:11, document 1: {APP}.securityContext: runAsNonRoot and runAsUser 0 contradict each other: a kubelet refuses to start the container; write another runAsUser"
)]
#[case::user(
    "          args: []",
    "          securityContext: {runAsUser: -1}",
    "app.yaml:21:29, document 1: {APP}.securityContext.runAsUser: not a user or group id; write a number from 0 to 4294967295"
)]
#[case::init_probe(
    "      containers:\n",
    "      initContainers:\n        - {name: init, image: x, livenessProbe: {exec: {command: [x]}}}\n      containers:\n",
    "app.yaml:19:34, document 1: Deployment/backend: spec.template.spec.initContainers[init].livenessProbe: an init container cannot have probes; remove the probe: the container runs to completion; or let it go on running with `restartPolicy: Always`"
)]
#[case::init_hook(
    "      containers:\n",
    "      initContainers:\n        - {name: init, image: x, lifecycle: {preStop: {exec: {command: [x]}}}}\n      containers:\n",
    "app.yaml:19:34, document 1: Deployment/backend: spec.template.spec.initContainers[init].lifecycle: an init container cannot have hooks; remove `lifecycle`; or let the container go on running with `restartPolicy: Always`"
)]
// Probes.
#[case::unknown_name(
    "port: http}\n          vol",
    "port: htpp}\n          vol",
    "app.yaml:38:37, document 1: {APP}.livenessProbe.httpGet.port: the container has no port named `htpp`; declared: 8000 (http); use one of these, or add it to ports"
)]
#[case::no_action(
    "            httpGet: {path: /livez, port: http}",
    "            periodSeconds: 5",
    "app.yaml:37:11, document 1: {APP}.livenessProbe: the probe has no action; add one of httpGet, tcpSocket, \
     exec, grpc"
)]
#[case::two_actions(
    "            httpGet: {path: /livez, port: http}",
    "            httpGet: {port: http}\n            tcpSocket: {port: http}",
    "app.yaml:37:11, document 1: {APP}.livenessProbe: the probe has 2 actions: httpGet, tcpSocket; keep one of them"
)]
#[case::no_command(
    "            httpGet: {path: /livez, port: http}",
    "            exec: {}",
    "app.yaml:38:13, document 1: {APP}.livenessProbe.exec: there is no command; add `command: [...]`"
)]
#[case::scheme(
    "port: http}\n          vol",
    "port: http, scheme: https}\n          vol",
    "app.yaml:38:49, document 1: {APP}.livenessProbe.httpGet.scheme: scheme `https` does not exist; write HTTP or HTTPS"
)]
#[case::success(
    "            httpGet: {path: /livez, port: http}",
    "            httpGet: {port: http}\n            successThreshold: 2",
    "app.yaml:39:13, document 1: {APP}.livenessProbe.successThreshold: successThreshold 2 is only allowed in a readiness probe; write 1, or remove the field"
)]
#[case::negative(
    "            httpGet: {path: /livez, port: http}",
    "            httpGet: {port: http}\n            periodSeconds: -1",
    "app.yaml:39:13, document 1: {APP}.livenessProbe.periodSeconds: -1 is negative; write 1 or more"
)]
#[case::grace(
    "            httpGet: {path: /livez, port: http}",
    "            httpGet: {port: http}\n            terminationGracePeriodSeconds: 0",
    "app.yaml:39:13, document 1: {APP}.livenessProbe.terminationGracePeriodSeconds: a probe's grace period is at least 1 s and belongs to startup and liveness probes; correct or remove the field"
)]
// Variables.
#[case::two_sources(
    "valueFrom: {configMapKeyRef:",
    "valueFrom: {fieldRef: {fieldPath: metadata.name}, configMapKeyRef:",
    "app.yaml:28:15, document 1: {APP}.env[LEVEL].valueFrom: not exactly one source is given; write one of configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef"
)]
#[case::value_and_source(
    "            - name: LEVEL\n",
    "            - name: LEVEL\n              value: x\n",
    "app.yaml:27:15, document 1: {APP}.env[LEVEL]: the variable has both value and valueFrom; keep one of the two"
)]
#[case::field(
    "{configMapKeyRef: {name: settings, key: level}}",
    "{fieldRef: {fieldPath: status.podIp}}",
    "app.yaml:28:38, document 1: {APP}.env[LEVEL].valueFrom.fieldRef.fieldPath: `status.podIp` is not a field of the pod; did you mean `status.podIP`?"
)]
#[case::resource(
    "{configMapKeyRef: {name: settings, key: level}}",
    "{resourceFieldRef: {resource: limits.gpu}}",
    "app.yaml:28:46, document 1: {APP}.env[LEVEL].valueFrom.resourceFieldRef.resource: `limits.gpu` is not a resource of a container; refer to limits.memory, limits.cpu, requests.memory or requests.cpu"
)]
#[case::variable_name(
    "name: EMPTY",
    "name: A=B",
    "app.yaml:23:15, document 1: {APP}.env[A=B].name: `A=B` is not a variable's name; write a name without `=`"
)]
// Volumes.
#[case::unknown_volume(
    "{name: tmp, mountPath",
    "{name: temp, mountPath",
    "app.yaml:41:16, document 1: {APP}.volumeMounts[temp].name: there is no volume `temp`; did you mean `tmp`?"
)]
#[case::same_path(
    "mountPath: /tmp",
    "mountPath: /etc/app/",
    "app.yaml:41:27, document 1: {APP}.volumeMounts[tmp].mountPath: two volumes are mounted at `/etc/app/`; change one of the two"
)]
#[case::sub_path(
    "mountPath: /tmp",
    "mountPath: /tmp, subPath: ../x",
    "app.yaml:41:44, document 1: {APP}.volumeMounts[tmp].subPath: subPath leaves the volume; write a relative path without `..`"
)]
#[case::item_path(
    "configMap: {name: settings}",
    "configMap: {name: settings, items: [{key: level, path: /x}]}",
    "app.yaml:15:60, document 1: {VOLUMES}[config].configMap.items[0].path: `/x` is not a path inside the volume; write a relative path without `..`"
)]
#[case::mode(
    "configMap: {name: settings}",
    "configMap: {name: settings, defaultMode: 1000}",
    "app.yaml:15:39, document 1: {VOLUMES}[config].configMap.defaultMode: the file mode is not allowed; write an octal number up to 0777"
)]
#[case::two_volume_sources(
    "emptyDir: {}",
    "emptyDir: {}\n          secret: {secretName: keys}",
    "app.yaml:16:11, document 1: {VOLUMES}[tmp]: the volume has 2 sources: emptyDir, secret; write exactly one, such as `emptyDir: {}`; a patch removes the other with `null`"
)]
#[case::same_name(
    "- name: tmp\n",
    "- name: config\n",
    "2 errors in the manifests\n  app.yaml:16:11, document 1: {VOLUMES}[config]: two volumes are named `config`; rename one of the two\n  app.yaml:41:16, document 1: {APP}.volumeMounts[tmp].name: there is no volume `tmp`; volumes of the pod: config"
)]
#[case::size(
    "emptyDir: {}",
    "emptyDir: {sizeLimit: 1Megabyte}",
    "app.yaml:17:22, document 1: {VOLUMES}[tmp].emptyDir.sizeLimit: `1Megabyte` is not a quantity; write bytes as `64Mi`"
)]
// Services.
#[case::no_ports(
    "  ports:\n    - {name: http, port: 80, targetPort: http}\n",
    "",
    "app.yaml:47:1, document 2: Service/backend: spec.ports: the Service has no ports; add `- port: <number>`"
)]
#[case::same_port(
    "    - {name: http, port: 80",
    "    - {name: a, port: 80, targetPort: http}\n    - {name: http, port: 80",
    "app.yaml:51:20, document 2: Service/backend: spec.ports[http].port: port 80 is declared twice; remove or change one of the two"
)]
#[case::service_port_range(
    "port: 80,",
    "port: 0,",
    "app.yaml:50:20, document 2: Service/backend: spec.ports[http].port: the port is missing or 0; write a number from 1 to 65535"
)]
#[case::no_name(
    "    - {name: http, port: 80",
    "    - {port: 81}\n    - {name: http, port: 80",
    "app.yaml:50:7, document 2: Service/backend: spec.ports[0]: a port of a Service with several has no name; add a name to each, such as `name: http`"
)]
#[case::same_service_port_name(
    "    - {name: http, port: 80",
    "    - {name: http, port: 81}\n    - {name: http, port: 80",
    "app.yaml:51:8, document 2: Service/backend: spec.ports[http].name: two ports of the Service are named `http`; rename one of the two"
)]
#[case::service_port_name(
    "{name: http, port",
    "{name: the_page, port",
    "app.yaml:50:8, document 2: Service/backend: spec.ports[the_page].name: `the_page` is not a valid name; use lower-case letters, digits and `-` between them, at most 63 characters"
)]
#[case::node_port(
    "port: 80,",
    "port: 80, nodePort: 30080,",
    "app.yaml:50:30, document 2: Service/backend: spec.ports[http].nodePort: a Service of type ClusterIP has no port on nodes; write `type: NodePort`, or remove nodePort"
)]
#[case::headless_on_nodes(
    "  selector: {app: backend}\n  ports",
    "  type: NodePort\n  clusterIP: None\n  selector: {app: backend}\n  ports",
    "app.yaml:49:3, document 2: Service/backend: spec.clusterIP: a NodePort needs an address of its own; remove `clusterIP: None`, or the type"
)]
#[case::service_protocol(
    "port: 80,",
    "port: 80, protocol: HTTP,",
    "app.yaml:50:30, document 2: Service/backend: spec.ports[http].protocol: `HTTP` is none of its values; write TCP, UDP or SCTP"
)]
#[case::type_of_service(
    "  selector: {app: backend}\n  ports",
    "  type: nodePort\n  selector: {app: backend}\n  ports",
    "app.yaml:48:3, document 2: Service/backend: spec.type: `nodePort` is none of its values; write ClusterIP, NodePort, LoadBalancer or ExternalName"
)]
// Values that no cluster takes.
#[case::choice(
    "          args: []\n",
    "          imagePullPolicy: always\n",
    "app.yaml:21:11, document 1: {APP}.imagePullPolicy: `always` is none of its values; write Always, IfNotPresent or Never"
)]
#[case::required_key(
    "{configMapKeyRef: {name: settings, key: level}}",
    "{configMapKeyRef: {name: settings, optional: true}}",
    "app.yaml:28:27, document 1: {APP}.env[LEVEL].valueFrom.configMapKeyRef: it has no key; add `key: <key>`"
)]
#[case::host_port_range(
    "containerPort: 8000",
    "containerPort: 8000\n              hostPort: 80000",
    "app.yaml:34:15, document 1: {APP}.ports[http].hostPort: 80000 is out of range; write a number from 0 to 65535"
)]
#[case::label(
    "labels: {app: backend}",
    "labels: {app: backend, version: \"${VERSION}\"}",
    "app.yaml:11:7, document 1: Deployment/backend: spec.template.metadata.labels: `${VERSION}` is not valid in a label; fill in the placeholder, or let a command do it: `render = [\"sh\", \"-c\", \"envsubst < FILE\"]` in .config/e2e.toml"
)]
#[case::key_of_a_label(
    "  name: backend\nspec:\n  replicas",
    "  name: backend\n  labels: {example.org/a/b: c}\nspec:\n  replicas",
    "app.yaml:5:3, document 1: Deployment/backend: metadata.labels: `example.org/a/b` is not valid in a label; use letters, digits and `-`, `_`, `.` between them, at most 63 characters"
)]
#[case::a_placeholder_as_name(
    "      volumes:\n",
    "      serviceAccountName: <NAME>\n      volumes:\n",
    "app.yaml:13:7, document 1: Deployment/backend: spec.template.spec.serviceAccountName: `<NAME>` is not a valid name; fill in the placeholder"
)]
fn refused(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    assert_eq!(error_of(&base_with(old, new)), expected.replace("{APP}", APP).replace("{VOLUMES}", VOLUMES));
}

#[rstest]
#[case::none("{}", "", "the hook has no action; add one of exec, httpGet, sleep")]
#[case::two("{exec: {command: [a]}, sleep: {seconds: 1}}", "", "the hook has several actions; keep one of them")]
#[case::tcp(
    "{tcpSocket: {port: 1}}",
    ".tcpSocket",
    "no kubelet can run a tcpSocket hook: it fails each time; use exec, httpGet or sleep"
)]
#[case::too_long(
    "{sleep: {seconds: 31}}",
    ".sleep.seconds",
    "sleep of 31 s, with a grace period of 30 s; write a time from 0 to terminationGracePeriodSeconds"
)]
#[case::no_command("{exec: {command: []}}", ".exec", "there is no command; add `command: [...]`")]
fn hooks(#[case] hook: &str, #[case] place: &str, #[case] expected: &str) {
    let lifecycle = format!("          lifecycle: {{preStop: {hook}}}\n          livenessProbe:\n");
    let error = error_of(&base_with("          livenessProbe:\n", &lifecycle));
    assert!(error.ends_with(&format!("{APP}.lifecycle.preStop{place}: {expected}")), "{error}");
}

/// All placeholders of an object, also beside one in its name and several in one map.
#[test]
fn every_placeholder_is_told_at_once() {
    let text = base_with("  name: backend\nspec:", "  name: ${NAME}\n  labels: {a: \"${A}\", b: \"${B}\"}\nspec:")
        .replace("replicas: 2", "replicas: ${REPLICAS}")
        .replace("cpu: 100m, memory: 64Mi", "cpu: \"${CPU}\", memory: \"${MEMORY}\"")
        .replace("containerPort: 8000", "containerPort: ${PORT}");
    let error = error_of(&text);
    for name in ["${NAME}", "${A}", "${B}", "${CPU}", "${MEMORY}"] {
        assert!(error.contains(&format!("`{name}`")), "{name} is not in: {error}");
    }
    for path in ["spec.replicas", "ports[http].containerPort"] {
        assert!(
            error.contains(&format!("{path}: expected an integer, found a string; fill in the placeholder")),
            "{error}"
        );
    }
}

/// A cluster is given every declaration, also one that another replaces.
#[test]
fn of_an_object_that_is_declared_again() {
    let (container, quantity) = ("image: backend:dev", "limits: {cpu: 500m,");
    let earlier = base_with(container, "imagePullPolicy: Never").replace(quantity, "limits: {cpu: \"${CPU}\",");
    let error = error_of(&format!("{earlier}---\n{BASE}"));
    for part in ["app.yaml:19:11, document 1: ", "app.yaml:36:22, document 1: ", "2 errors in the manifests"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}
