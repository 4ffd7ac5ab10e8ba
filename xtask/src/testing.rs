//! Small archives and HTTP servers for the tests.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

/// The files of a fake libtorch.
pub const TORCH: [(&str, &str); 4] = [
    ("torch/lib/libtorch_cpu.so", "cpu"),
    ("torch/lib/libc10.so", "c10"),
    ("torch/lib/libgomp.so.1", "gomp"),
    ("torch/include/torch/csrc/api/include/torch/torch.h", "// torch"),
];

/// Writes an uncompressed zip of `entries` to `path`.
pub fn zip_with(path: &Path, entries: &[(&str, &str)]) -> PathBuf {
    let file = File::create(path).expect("a temporary file");
    let mut zip = zip::ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in entries {
        zip.start_file(*name, options).expect("an entry");
        zip.write_all(text.as_bytes()).expect("its bytes");
    }
    zip.finish().expect("a zip");
    path.to_owned()
}

/// Writes a zip with the structure of the official one.
pub fn official_zip(path: &Path, version: &str) {
    let mut entries: Vec<_> =
        TORCH.iter().map(|(name, text)| (name.replacen("torch/", "libtorch/", 1), *text)).collect();
    entries.push(("libtorch/build-version".to_owned(), version));
    entries.push(("libtorch/lib/libbig.a".to_owned(), "static"));
    let entries: Vec<_> = entries.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    zip_with(path, &entries);
}

/// Serves one response per connection, then stops; returns the URL of the file.
pub fn serve(responses: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for response in responses {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut lines = BufReader::new(stream.try_clone().expect("a reader")).lines();
            let mut range = false;
            while let Some(Ok(line)) =
                lines.next().filter(|line| !matches!(line, Ok(l) if l.is_empty()))
            {
                range |= line.eq_ignore_ascii_case("range: bytes=3-");
            }
            assert_eq!(range, response.contains("206"), "only a resumed download asks for a range");
            stream.write_all(response.as_bytes()).expect("a written response");
        }
    });
    format!("http://127.0.0.1:{port}/a.zip")
}
