//! A credential as systemd reads it for a unit, beside a server that does nothing but send it.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bearerd::clock;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::daemon::{configure, median, ratio, start_filled};
use crate::floor::{Answers, Floor};
use crate::table::Row;
use crate::token_server::TokenServer;
use support::Host;

const READS: usize = 5000;

pub(crate) fn credential() -> Vec<Row> {
    let server = TokenServer::start();
    let host = Host::new();
    configure(&host, &server, 1, None, None);
    let _daemon = start_filled(&host, 1);
    let socket = host.path("run/credentials.sock");
    let floor = Floor::start(Answers::Connections, &read(&socket, 0));
    let (mut floors, mut times) = (Vec::new(), Vec::new());
    for number in 0..READS {
        floors.push(timed(&floor.socket(), number));
        times.push(timed(&socket, number));
    }
    let (floor, time) = (median(floors), median(times));
    let micros = |time: Duration| format!("{:.0} µs", time.as_secs_f64() * 1e6);
    let times = ratio(time, floor);
    vec![
        Row::new("a credential from credentials.sock", micros(time))
            .over(micros(floor), times)
            .goal("≤ 1.5", times <= 1.5),
    ]
}

fn timed(socket: &Path, number: usize) -> Duration {
    let begun = clock::now();
    read(socket, number);
    clock::now() - begun
}

/// From an address as the service manager's (`systemd.exec(5)`).
fn read(socket: &Path, number: usize) -> Vec<u8> {
    let name = format!(
        "{:x}{number:08x}/unit/bench.service/t000000",
        std::process::id()
    );
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("an address");
    let own = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
    let own = own.expect("a socket");
    rustix::net::bind(&own, &address).expect("an address of its own");
    let server = SocketAddrUnix::new(socket).expect("a path");
    rustix::net::connect(&own, &server).expect("a server");
    let mut credential = Vec::new();
    let read = UnixStream::from(own).read_to_end(&mut credential);
    read.expect("a credential");
    assert!(!credential.is_empty(), "nothing was sent");
    credential
}
