//! The hooks of a container, with Kubernetes's rules.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as K8sContainer, LifecycleHandler};

use super::{
    Context,
    probe::{exec, http_get},
};
use crate::{
    cursor::Cursor,
    error::{Error, ErrorKind},
    hook::{Hook, HookKind, Hooks},
};

pub(super) fn hooks(context: &Context<'_>, cursor: &Cursor<'_>, container: &K8sContainer) -> Hooks {
    let Some(lifecycle) = &container.lifecycle else { return Hooks::default() };
    let convert = |which: HookKind, value: &Option<LifecycleHandler>| {
        let cursor = cursor.keys(&["lifecycle", which.field()]);
        context.faults.keep(hook(&cursor, container, value.as_ref()?, context.grace))
    };
    Hooks {
        post_start: convert(HookKind::PostStart, &lifecycle.post_start),
        pre_stop: convert(HookKind::PreStop, &lifecycle.pre_stop),
    }
}

fn hook(
    cursor: &Cursor<'_>,
    container: &K8sContainer,
    value: &LifecycleHandler,
    grace: Duration,
) -> Result<Hook, Error> {
    match (&value.http_get, &value.exec, &value.sleep, &value.tcp_socket) {
        (Some(http), None, None, None) => http_get(&cursor.key("httpGet"), container, http).map(Hook::Run),
        (None, Some(command), None, None) => exec(&cursor.key("exec"), container, command).map(Hook::Run),
        (None, None, Some(sleep), None) => {
            let time = u64::try_from(sleep.seconds).ok().map(Duration::from_secs).filter(|time| *time <= grace);
            time.map(Hook::Sleep).ok_or_else(|| {
                let message = format!("sleep of {} s, with a grace period of {} s", sleep.seconds, grace.as_secs());
                let remedy = "write a time from 0 to terminationGracePeriodSeconds";
                cursor.keys(&["sleep", "seconds"]).fail(ErrorKind::Value, message, remedy)
            })
        }
        (None, None, None, Some(_)) => {
            let message = "no kubelet can run a tcpSocket hook: it fails each time";
            Err(cursor.key("tcpSocket").fail(ErrorKind::Value, message, "use exec, httpGet or sleep"))
        }
        (None, None, None, None) => {
            Err(cursor.fail(ErrorKind::Missing, "the hook has no action", "add one of exec, httpGet, sleep"))
        }
        _ => Err(cursor.fail(ErrorKind::Value, "the hook has several actions", "keep one of them")),
    }
}
