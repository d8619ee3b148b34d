//! Which component calls which, by which Services: the data of the system's picture. Main function: [`topology`].

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// Which component calls which, by which Services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topology {
    /// The Service that clients call.
    pub entrance: Option<String>,
    /// Every Service.
    pub services: Vec<ServiceSection>,
    /// Which component names a Service of which other one.
    pub calls: Vec<Call>,
}

/// One Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSection {
    /// Its name.
    pub name: String,
    /// Its ports.
    pub ports: Vec<u16>,
    /// The components whose pods it leads to.
    pub components: Vec<String>,
}

/// One component names a Service of another one in its environment, command or configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// The one that calls.
    pub from: String,
    /// The one that is called.
    pub to: String,
}

pub(super) fn topology(environment: &Environment) -> Topology {
    let names: BTreeSet<&str> = environment.services.iter().map(|endpoint| endpoint.service.as_str()).collect();
    let names: BTreeSet<&str> = names.into_iter().chain(environment.routes.keys().map(String::as_str)).collect();
    let section = |name: &str| ServiceSection {
        name: name.to_owned(),
        ports: environment.services.iter().filter(|of| of.service == name).map(|of| of.port).collect(),
        components: environment.routes.get(name).cloned().unwrap_or_default(),
    };
    let calls = environment.components.iter().flat_map(|component| {
        let others = component.depends_on.iter().filter(|other| **other != component.name);
        others.map(|other| Call { from: component.name.clone(), to: other.clone() })
    });
    Topology {
        entrance: environment.entrance.clone(),
        services: names.into_iter().map(section).collect(),
        calls: calls.collect(),
    }
}
