//! A port that is known before somebody listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// A port of 127.0.0.1 that nobody else gets for as long as this lives.
///
/// For servers whose address others must know before they start. A port that is asked
/// for, let go and bound later goes to any connection or server in between; this one
/// stays bound, without listening, so that connecting is refused. Whoever binds it on
/// purpose with `SO_REUSEADDR`, as Envoy, Go and [`Port::listen`] do, gets it beside
/// this; the system gives it to no one.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    /// Holds the port by being bound to it.
    _bound: TcpSocket,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    /// There is none, or no more sockets.
    pub fn hold() -> io::Result<Self> {
        Self::hold_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Takes the port of `address`, for a network that is the test's own: elsewhere
    /// another may have it.
    ///
    /// # Errors
    /// Somebody has it already, or the address is not of this network.
    pub fn hold_at(address: SocketAddr) -> io::Result<Self> {
        let bound = reusing()?;
        bound.bind(address)?;
        let address = bound.local_addr()?;
        Ok(Self {
            address,
            _bound: bound,
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it; at most one at a time can.
    ///
    /// # Errors
    /// Somebody listens on it already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = reusing()?;
        socket.bind(self.address)?;
        socket.listen(1024)
    }
}

fn reusing() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_is_refused_until_it_is_listened_on_and_afterwards() {
        let port = Port::hold().unwrap();
        for _ in 0..3 {
            // A process that another test starts at this moment has the closed listener
            // until it runs its program.
            let mut tries = 0;
            while TcpStream::connect(port.address()).await.is_ok() {
                tries += 1;
                assert!(tries < 600, "still listened on");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            let listener = port.listen().unwrap();
            assert!(port.listen().is_err(), "one listens");
            assert!(TcpStream::connect(port.address()).await.is_ok());
            drop(listener);
        }
    }

    /// Neither servers, though they would share it, nor connections.
    #[tokio::test]
    async fn nobody_is_given_a_port_that_is_held() {
        let held: Vec<Port> = (0..200).map(|_| Port::hold().unwrap()).collect();
        let ports: BTreeSet<u16> = held.iter().map(|port| port.address().port()).collect();
        assert_eq!(ports.len(), held.len());
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut others = Vec::new();
        for _ in 0..400 {
            let reusing = reusing().unwrap();
            reusing.set_reuseport(true).unwrap();
            reusing.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            others.push(reusing.local_addr().unwrap().port());
            let client = TcpStream::connect(server.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, server.accept());
            others.push(client.unwrap().local_addr().unwrap().port());
            accepted.unwrap();
        }
        let taken: Vec<&u16> = others.iter().filter(|port| ports.contains(port)).collect();
        assert!(taken.is_empty(), "{taken:?}");
    }
}
