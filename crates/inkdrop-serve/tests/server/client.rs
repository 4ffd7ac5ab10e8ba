//! A small HTTP client that can also misbehave, and a running server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use inkdrop_serve::{ServeOptions, Server};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::toy::Toy;

pub const TOKEN: &str = "secret";

/// A server on a free port; it stops when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn new(toy: &Toy, options: ServeOptions) -> Self {
        Self::at(toy, ServeOptions { address: ([127, 0, 0, 1], 0).into(), ..options })
    }

    /// At the address of the options.
    pub fn at(toy: &Toy, options: ServeOptions) -> Self {
        let options = ServeOptions { token: Some(TOKEN.to_string()), ..options };
        let server = Server::bind(toy.clone(), &options).unwrap();
        let mut address = server.address().unwrap();
        address.set_ip([127, 0, 0, 1].into());
        let (stop, stopped) = oneshot::channel::<()>();
        let stopping = async { _ = stopped.await };
        let thread = std::thread::spawn(move || server.run_until(stopping));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Asks the server to stop, without waiting for it.
    pub fn stop(&mut self) {
        _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// A request with the right host.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("Host: {}", self.address);
        self.ask_raw(method, path, &[&[host.as_str()], headers].concat(), body)
    }

    pub fn ask_raw(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = self.connect();
        send(&mut stream, method, path, headers, body);
        Answer::read(&mut stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub fn post_without_header(&self, path: &str) -> Answer {
        self.ask("POST", path, &[], "{}")
    }

    /// A POST with the token.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[&format!("Authorization: Bearer {TOKEN}")], body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

pub fn send(stream: &mut TcpStream, method: &str, path: &str, headers: &[&str], body: &str) {
    let length = format!("Content-Length: {}", body.len());
    let headers = [headers, &[length.as_str(), "Connection: close"]].concat().join("\r\n");
    // The server may refuse before it has read everything.
    _ = stream.write_all(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n\r\n{body}").as_bytes());
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The sentence of an error.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_string()
    }
}
