//! The server on real sockets: loopback, and another network namespace.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

fn sockets() -> (Sockets, SocketAddr) {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = std::net::TcpListener::bind(address).unwrap();
    (Sockets { udp, tcp }, address)
}

fn id() -> ContainerId {
    ContainerId::new("a".repeat(64))
}

/// A server with one client that sees `front` and asks `servers`.
fn serving(servers: Vec<SocketAddr>) -> (DnsServer, SocketAddr) {
    let server = DnsServer::new("/nonexistent".into());
    server.publish(table());
    let (sockets, address) = sockets();
    let view = View { upstream: Upstream::Servers(servers), ..view(&["front"]) };
    server.serve(id(), sockets, view).unwrap();
    (server, address)
}

async fn udp(to: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), to).await.unwrap();
    let mut reply = vec![0; 65_536];
    let received = tokio::time::timeout(Duration::from_secs(8), socket.recv(&mut reply)).await;
    let length = received.expect("an answer").unwrap();
    Message::from_vec(&reply[..length]).unwrap()
}

async fn tcp(stream: &mut TcpStream, message: &Message) -> Message {
    let bytes = message.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

/// A name server of the world: says `change`d copies of the query as a reply. Returns its address.
async fn upstream(change: impl Fn(&mut Message) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = vec![0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut query).await.unwrap();
            let mut message = Message::from_vec(&query[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            change(&mut message);
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

fn says(last: u8) -> impl Fn(&mut Message) + Send + 'static {
    move |message| {
        let address = RData::A(hickory_proto::rr::rdata::A(Ipv4Addr::new(192, 0, 2, last)));
        let name = message.queries[0].name().clone();
        message.add_answer(hickory_proto::rr::Record::from_rdata(name, 60, address));
    }
}

#[tokio::test]
async fn answers_over_udp_and_tcp_from_the_table_of_the_moment() {
    let (server, address) = serving(vec![]);
    assert_eq!(texts(&udp(address, &query("web.", RecordType::A)).await), ["10.0.0.4"]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        assert_eq!(texts(&tcp(&mut stream, &query("db.", RecordType::A)).await), ["10.0.0.2", "10.0.0.3"]);
    }
    server.publish(Table::default());
    let reply = udp(address, &query("web.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "nobody is left to ask");
    server.publish(table());
    server.look(&id(), view(&["back"]));
    assert_eq!(texts(&udp(address, &query("db.", RecordType::A)).await), ["10.0.1.2"]);
}

#[tokio::test]
async fn other_names_are_forwarded_with_the_id_of_the_asker() {
    let (_server, address) = serving(vec![upstream(says(1)).await]);
    let reply = udp(address, &query("example.com.", RecordType::A)).await;
    assert_eq!((reply.metadata.id, texts(&reply)), (4711, vec!["192.0.2.1".to_owned()]));
}

#[tokio::test]
async fn a_server_that_is_gone_or_refuses_gives_way_to_the_next() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refuses = upstream(|message| message.metadata.response_code = ResponseCode::Refused).await;
    let (_server, address) = serving(vec![gone, refuses, upstream(says(2)).await]);
    let begin = Instant::now();
    assert_eq!(texts(&udp(address, &query("example.com.", RecordType::A)).await), ["192.0.2.2"]);
    assert!(begin.elapsed() < Duration::from_millis(900), "neither is waited for");
    let (_server, address) = serving(vec![refuses]);
    let reply = udp(address, &query("example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "what all say is passed on");
    let (_server, address) = serving(vec![gone]);
    let reply = udp(address, &query("example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_long_and_holds_up_nobody() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (_server, address) = serving(vec![silent.local_addr().unwrap(), upstream(says(3)).await]);
    let begin = Instant::now();
    let slow = tokio::spawn(async move { udp(address, &query("example.com.", RecordType::A)).await });
    udp(address, &query("web.", RecordType::A)).await;
    assert!(begin.elapsed() < Duration::from_millis(500));
    assert_eq!(texts(&slow.await.unwrap()), ["192.0.2.3"]);
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_reply_to_another_question_is_no_reply() {
    let liar = upstream(|message| {
        message.queries[0].set_name(Name::from_ascii("other.com.").unwrap());
    })
    .await;
    let (_server, address) = serving(vec![liar, upstream(says(4)).await]);
    assert_eq!(texts(&udp(address, &query("example.com.", RecordType::A)).await), ["192.0.2.4"]);
}

#[tokio::test]
async fn what_is_cut_is_asked_for_again_over_tcp() {
    let cut = upstream(|message| message.metadata.truncation = true).await;
    let listener = TcpListener::bind(cut).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut query).await.unwrap();
        let mut reply = Message::from_vec(&query).unwrap();
        reply.metadata.message_type = MessageType::Response;
        (0..200).for_each(|last| says(last)(&mut reply));
        let bytes = reply.to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let (_server, address) = serving(vec![cut]);
    let reply = udp(address, &query("example.com.", RecordType::A)).await;
    assert!(reply.metadata.truncation, "the asker shall come again");
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(tcp(&mut stream, &query("example.com.", RecordType::A)).await.answers.len(), 200);
}

#[tokio::test]
async fn stop_closes_the_sockets_even_while_queries_and_connections_are_open() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (server, address) = serving(vec![silent.local_addr().unwrap()]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    tcp(&mut stream, &query("web.", RecordType::A)).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&query("example.com.", RecordType::A).to_vec().unwrap(), address).await.unwrap();
    silent.recv(&mut [0; 512]).await.unwrap();
    server.stop(&id()).await;
    assert!(std::net::UdpSocket::bind(address).is_ok());
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    server.stop(&id()).await;
}

/// Sockets of another network namespace serve from here, and hold it no longer once they are closed.
#[test]
fn a_container_is_answered_across_namespaces() {
    const PLACE: &str = "127.0.0.11:40053";
    let (give, take) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let inside = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let udp = std::net::UdpSocket::bind(PLACE).unwrap();
        let tcp = std::net::TcpListener::bind(PLACE).unwrap();
        give.send(Sockets { udp, tcp }).unwrap();
        wait.recv().unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(&query("web.", RecordType::A).to_vec().unwrap(), PLACE).unwrap();
        let mut reply = [0; 512];
        let (length, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(from, PLACE.parse().unwrap());
        give.send(Sockets { udp: client, tcp: std::net::TcpListener::bind("127.0.0.1:0").unwrap() }).unwrap();
        wait.recv().unwrap();
        assert!(std::net::UdpSocket::bind(PLACE).is_ok(), "the server has let go");
        texts(&Message::from_vec(&reply[..length]).unwrap())
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = DnsServer::new("/nonexistent".into());
        server.publish(table());
        server.serve(id(), take.recv().unwrap(), view(&["front"])).unwrap();
        go.send(()).unwrap();
        take.recv().unwrap();
        server.stop(&id()).await;
        go.send(()).unwrap();
    });
    assert_eq!(inside.join().unwrap(), ["10.0.0.4"]);
}
