//! A Service with several replicas, for plain processes and this machine: one address that distributes connections to the ready
//! replicas in turn. Main type: [`Balancer`].

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::provider::accept;

/// Replicas that accept connections, updated with their readiness.
pub(super) type Ready = Arc<RwLock<Vec<SocketAddr>>>;

/// Listens until it is dropped.
pub(super) type Balancer = AbortOnDropHandle<()>;

/// Puts a replica among those that take connections, or takes it out.
pub(super) fn set_ready(list: &Ready, replica: SocketAddr, ready: bool) {
    let mut list = list.write();
    list.retain(|listed| *listed != replica);
    if ready {
        list.push(replica);
    }
}

/// Serves `listener`. A connection without a ready replica is closed at once, as a Service without endpoints refuses it.
pub(super) fn serve(listener: TcpListener, ready: Ready) -> Balancer {
    AbortOnDropHandle::new(tokio::spawn(distribute(listener, ready)))
}

async fn distribute(listener: TcpListener, ready: Ready) {
    let turn = AtomicUsize::new(0);
    loop {
        let client = accept::next(&listener).await;
        let replica = {
            let replicas = ready.read();
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            (!replicas.is_empty()).then(|| replicas[turn % replicas.len()])
        };
        match replica {
            Some(replica) => drop(tokio::spawn(relay(client, replica))),
            None => reset(&client),
        }
    }
}

async fn relay(mut client: TcpStream, replica: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(replica).await else { return reset(&client) };
    // Small messages both ways: waiting to fill a packet would add up to 40 ms to each.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Makes the drop of the connection a reset, so that the client sees a refusal and not an empty answer.
fn reset(client: &TcpStream) {
    let _ = client.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{ask, named};

    #[tokio::test]
    async fn only_ready_replicas_get_connections() {
        let (one, two) = (named("one").await, named("two").await);
        let ready = Ready::new(RwLock::new(vec![one, two]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _balancer = serve(listener, Arc::clone(&ready));

        assert_eq!([ask(address).await, ask(address).await], ["one", "two"]);
        set_ready(&ready, one, false);
        assert_eq!([ask(address).await, ask(address).await], ["two", "two"]);
        set_ready(&ready, two, false);
        assert_eq!(ask(address).await, "connection reset");
    }
}
