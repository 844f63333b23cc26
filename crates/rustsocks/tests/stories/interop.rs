//! Clients that are not ours.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use rustsocks_testkit::{FakeDns, eventually};

use super::{bytes, listener, proxy};

/// A web server that answers everything with this text.
pub(crate) fn web(text: &'static str) -> std::net::SocketAddr {
    site(move |_| text.to_owned())
}

/// A web server that answers each path with what `page` says.
fn site(page: impl Fn(&str) -> String + Send + Sync + 'static) -> std::net::SocketAddr {
    let (listener, address) = listener();
    let page = std::sync::Arc::new(page);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let page = std::sync::Arc::clone(&page);
            // A browser opens connections that it may never use.
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let Ok(count @ 1..) = stream.read(&mut request) else { return };
                let request = String::from_utf8_lossy(&request[..count]);
                let text = page(request.split(' ').nth(1).unwrap_or("/"));
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                let answer = format!("{head} {}\r\n\r\n{text}", text.len());
                // A client that has gone needs no answer.
                let _gone = stream.write_all(answer.as_bytes());
            });
        }
    });
    address
}

/// The program's output, or none where it is not installed.
fn run(program: &str, file: &str, command: &mut Command) -> Option<Output> {
    if !Path::new(file).exists() {
        eprintln!("SKIPPED: {program} is not installed");
        return None;
    }
    Some(command.output().unwrap())
}

#[test]
fn curl_speaks_all_dialects() {
    let proxy = proxy("");
    let url = format!("http://localhost:{}/", web("hello curl").port());
    for (number, scheme) in ["socks5h", "socks5", "socks4", "socks4a"].into_iter().enumerate() {
        let through = format!("{scheme}://{}", proxy.socks());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--proxy", &through, &url]);
        let Some(output) = run("curl", "/usr/bin/curl", &mut curl) else { return };
        assert_eq!(output.stdout, b"hello curl", "{scheme}: {output:?}");
        assert_eq!(proxy.metric("rustsocks_sessions_total"), number as u64 + 1);
    }
}

#[test]
fn a_browser_shows_a_page_and_each_of_its_connections_is_recorded() {
    let dns = FakeDns::start(&[("page.test", &["127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let port = site(|path| match path {
        "/" => "<!doctype html><p id=x></p><script src=/words.js></script>".to_owned(),
        "/words.js" => {
            let padding = " ".repeat(200_000);
            format!("document.getElementById('x').textContent = 'hello browser';{padding}")
        }
        _ => String::new(),
    })
    .port();
    let folder = tempfile::TempDir::new().unwrap();
    let mut browser = Command::new("/usr/bin/chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    browser.args(["--disable-dev-shm-usage", "--disable-background-networking"]);
    browser.arg(format!("--user-data-dir={}", folder.path().display()));
    browser.arg(format!("--proxy-server=socks5://{}", proxy.socks()));
    browser.args(["--dump-dom", &format!("http://page.test:{port}/")]);
    let Some(output) = run("chromium", "/usr/bin/chromium", &mut browser) else { return };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("<p id=\"x\">hello browser</p>"), "{output:?}");
    eventually("the records of the page and of its script", || {
        let mut records = proxy.records();
        records.retain(|record| record["dest_host"] == "page.test");
        let received: u64 = records.iter().map(|record| bytes(record).1).sum();
        assert!(records.iter().all(|record| record["dest_port"] == port), "{records:?}");
        (records.len() >= 2 && received > 200_000).then_some(())
    });
}

#[test]
fn pysocks_connects_and_associates() {
    let proxy = proxy("");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_at = udp.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _lost = udp.send_to(&buffer[..length], from);
        }
    });
    let script = format!(
        "import socks\n\
         s = socks.socksocket()\n\
         s.set_proxy(socks.SOCKS5, '127.0.0.1', {proxy})\n\
         s.settimeout(20)\n\
         s.connect(('127.0.0.1', {web}))\n\
         s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n\
         data = b''\n\
         while True:\n\
         \x20   more = s.recv(4096)\n\
         \x20   if not more: break\n\
         \x20   data += more\n\
         assert data.endswith(b'hello python'), data\n\
         u = socks.socksocket(socks.socket.AF_INET, socks.socket.SOCK_DGRAM)\n\
         u.set_proxy(socks.SOCKS5, '127.0.0.1', {proxy})\n\
         u.settimeout(20)\n\
         u.sendto(b'datagram', ('127.0.0.1', {udp}))\n\
         assert u.recvfrom(100)[0] == b'datagram'\n",
        proxy = proxy.socks().port(),
        web = web("hello python").port(),
        udp = udp_at.port(),
    );
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", &script]);
    let module = "/usr/lib/python3/dist-packages/socks.py";
    let Some(output) = run("python3-socks", module, &mut python) else { return };
    assert!(output.status.success(), "{output:?}");
    let record = proxy.record("the association", |record| record["protocol"] == "udp");
    assert_eq!(bytes(&record), (8, 8));
}

#[test]
fn dantes_socksify_carries_a_program_that_knows_no_socks() {
    // Dante's client goes to loopback addresses directly; a name it leaves to the proxy.
    let dns = FakeDns::start(&[("web.test", &["127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let config = proxy.folder().join("socks.conf");
    let port = proxy.socks().port();
    let lines = [
        "resolveprotocol: fake".to_owned(),
        "route {".to_owned(),
        format!(" from: 0.0.0.0/0 to: 0.0.0.0/0 via: 127.0.0.1 port = {port}"),
        " proxyprotocol: socks_v5".to_owned(),
        " command: connect".to_owned(),
        "}\n".to_owned(),
    ];
    std::fs::write(&config, lines.join("\n")).unwrap();
    let url = format!("http://web.test:{}/", web("hello dante").port());
    let mut socksify = Command::new("/usr/bin/socksify");
    socksify.args(["/usr/bin/curl", "--silent", "--show-error", "--max-time", "20", &url]);
    socksify.env("SOCKS_CONF", &config);
    let Some(output) = run("dante-client", "/usr/bin/socksify", &mut socksify) else { return };
    assert!(output.stdout.ends_with(b"hello dante"), "{output:?}");
    let record = proxy.record("the session", |record| record["command"] == "connect");
    assert_eq!(record["dest_host"], "web.test");
}
