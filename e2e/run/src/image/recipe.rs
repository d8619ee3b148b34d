//! How to build an image that no registry has. Main type: [`Recipe`].

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// The recipe of an image that cannot be pulled. In `.config/e2e.toml`, with exactly one of `script`, `build` and `cargo`:
///
/// ```toml
/// [images."debian:bookworm-slim"]
/// script = "fixtures/images/base/make.sh"
///
/// [images."postgres:15"]
/// build = "fixtures/images/postgres"
/// needs = ["debian:bookworm-slim"]
///
/// [images."e2e-backend:dev"]
/// cargo = "backend"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Recipe {
    /// A program that writes the image's root filesystem as a tar to its standard output, and progress to its standard error. It
    /// runs in the project's root.
    Script {
        /// Path of the program, from the project's root.
        script: PathBuf,
        /// Whether to try a registry first; default true.
        pull: bool,
    },
    /// A directory with a `Dockerfile`. All of it is sent, except what its `.dockerignore` excludes.
    Build {
        /// Path of the directory, from the project's root.
        build: PathBuf,
        /// The images of its `FROM` lines, provided first.
        needs: Vec<String>,
        /// Whether to try a registry first; default true. Set `false` for names that only this project uses; otherwise the owner of
        /// the name in a public registry can supply the image.
        pull: bool,
    },
    /// Only the static release binary of a workspace package, run as user 65534. Never pulled.
    Cargo {
        /// The package; its binary has the same name.
        package: String,
    },
    /// The embedded program of a pod's sandbox. Never pulled; not available in `e2e.toml`.
    Sandbox,
    /// The load agent: this program itself. Never pulled; not available in `e2e.toml`.
    Agent,
}

/// The image of sandboxes.
pub(crate) const SANDBOX_IMAGE: &str = "e2e-pause:3";

/// The image of load agents: see [`e2e_load::agent`].
pub(crate) const AGENT_IMAGE: &str = "e2e-agent:dev";

/// Recipes by image name: the table `images` of `.config/e2e.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Recipes(pub BTreeMap<String, Recipe>);

impl Recipe {
    /// The images needed to build this one.
    pub fn needs(&self) -> &[String] {
        match self {
            Self::Build { needs, .. } => needs,
            Self::Script { .. } | Self::Cargo { .. } | Self::Sandbox | Self::Agent => &[],
        }
    }

    /// Whether the image may be pulled.
    pub(crate) fn may_pull(&self) -> bool {
        match self {
            Self::Script { pull, .. } | Self::Build { pull, .. } => *pull,
            Self::Cargo { .. } | Self::Sandbox | Self::Agent => false,
        }
    }

    /// The workspace package in the image.
    pub fn package(&self) -> Option<&str> {
        match self {
            Self::Cargo { package } => Some(package),
            Self::Script { .. } | Self::Build { .. } | Self::Sandbox | Self::Agent => None,
        }
    }
}

impl Recipes {
    /// These recipes, plus those of the framework's images.
    pub(crate) fn with_built_in(&self) -> Self {
        let mut all = self.0.clone();
        all.insert(SANDBOX_IMAGE.to_owned(), Recipe::Sandbox);
        all.insert(AGENT_IMAGE.to_owned(), Recipe::Agent);
        Self(all)
    }

    /// `images` and their dependencies, each once, dependencies first; or the names of a cycle, which ends with its first name.
    pub fn order<'a>(&'a self, images: &'a [String]) -> Result<Vec<&'a str>, Vec<String>> {
        let (mut order, mut path) = (Vec::new(), Vec::new());
        for image in images {
            self.visit(image, &mut path, &mut order)?;
        }
        Ok(order)
    }

    fn visit<'a>(
        &'a self,
        image: &'a str,
        path: &mut Vec<&'a str>,
        order: &mut Vec<&'a str>,
    ) -> Result<(), Vec<String>> {
        if order.contains(&image) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|visited| *visited == image) {
            return Err(path[start..].iter().chain([&image]).map(|name| (*name).to_owned()).collect());
        }
        path.push(image);
        for need in self.0.get(image).map_or(&[][..], Recipe::needs) {
            self.visit(need, path, order)?;
        }
        path.pop();
        order.push(image);
        Ok(())
    }
}

/// A recipe as written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    script: Option<PathBuf>,
    build: Option<PathBuf>,
    cargo: Option<String>,
    needs: Option<Vec<String>>,
    pull: Option<bool>,
}

impl TryFrom<Written> for Recipe {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let pull = written.pull.unwrap_or(true);
        match written {
            Written { script: Some(script), build: None, cargo: None, needs: None, .. } => {
                Ok(Self::Script { script, pull })
            }
            Written { script: None, build: Some(build), cargo: None, needs, .. } => {
                Ok(Self::Build { build, needs: needs.unwrap_or_default(), pull })
            }
            Written { script: None, build: None, cargo: Some(package), needs: None, pull: None } => {
                Ok(Self::Cargo { package })
            }
            Written { needs: Some(_), build: None, .. } => Err("`needs` requires `build`"),
            Written { pull: Some(_), cargo: Some(_), .. } => {
                Err("`pull` cannot be combined with `cargo`, which is never pulled")
            }
            _ => Err("an image's recipe needs exactly one of `script`, `build` and `cargo`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        ["base:1"]
        script = "make.sh"

        ["store:2"]
        build = "images/store"
        needs = ["base:1"]
        pull = false

        ["service:dev"]
        cargo = "service"
    "#;

    fn parsed(text: &str) -> Recipes {
        toml::from_str(text).expect("a valid table")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn recipes_are_read() {
        let recipes = parsed(TABLE);
        assert_eq!(recipes.0["base:1"], Recipe::Script { script: "make.sh".into(), pull: true });
        let store = Recipe::Build { build: "images/store".into(), needs: names(&["base:1"]), pull: false };
        assert_eq!(recipes.0["store:2"], store);
        assert_eq!(recipes.0["service:dev"], Recipe::Cargo { package: "service".into() });
    }

    #[test]
    fn bad_recipes_are_refused_with_the_reason() {
        let reason = |text: &str| toml::from_str::<Recipes>(text).expect_err("a bad table").to_string();
        assert!(reason("[a]\n").contains("exactly one of `script`, `build` and `cargo`"));
        assert!(reason("[a]\nscript = 'x'\nbuild = 'y'").contains("exactly one of"));
        assert!(reason("[a]\nscript = 'x'\nneeds = ['y']").contains("`needs` requires `build`"));
        assert!(reason("[a]\ncargo = 'x'\npull = true").contains("never pulled"));
        assert!(reason("[a]\nbild = 'x'").contains("unknown field `bild`"));
    }

    #[test]
    fn needs_come_first_and_once() {
        let recipes = parsed(
            "[a]\nbuild='a'\nneeds=['c', 'base']\n[b]\nbuild='b'\nneeds=['base']\n[c]\nbuild='c'\nneeds=['base']",
        );
        // `base` and `other` have no recipe: they can still be there, or be pulled.
        assert_eq!(recipes.order(&names(&["b", "a", "other", "a"])), Ok(vec!["base", "b", "c", "a", "other"]));
    }

    #[test]
    fn a_circle_is_named() {
        let recipes = parsed("[a]\nbuild='a'\nneeds=['b']\n[b]\nbuild='b'\nneeds=['c']\n[c]\nbuild='c'\nneeds=['b']");
        assert_eq!(recipes.order(&names(&["a"])), Err(names(&["b", "c", "b"])));
        // Nobody asks for the circle here.
        assert_eq!(recipes.order(&names(&["d"])), Ok(vec!["d"]));
    }
}
