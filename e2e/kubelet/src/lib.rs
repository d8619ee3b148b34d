//! A kubelet's decisions and messages, as pure code: [`worker`] reacts to probe results, [`snapshot`] is the state of pods,
//! [`simulate`] and [`predict`] run containers in virtual time, [`lint`] checks manifests without a run.

/// An enum with words for each variant, which are its documentation too. JSON has the variant's name.
macro_rules! in_words {
    ($(#[$about:meta])* pub enum $name:ident { $($variant:ident = $words:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $(#[doc = $words] $variant,)+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $words,)+
                })
            }
        }
    };
}

mod backoff;
mod cause;
pub mod diagnosis;
pub mod exchange;
pub mod lint;
pub mod observation;
pub mod predict;
pub mod profile;
pub mod protocol;
pub mod simulate;
pub mod snapshot;
pub mod status;
pub mod worker;

pub use e2e_plan::shell;
