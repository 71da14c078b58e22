//! A server that speaks S3 and keeps objects in a folder, for tests: `s3 PORT FOLDER ACCESS_KEY SECRET_KEY`.
//!
//! It checks signatures and the SHA-256 of every body. Parts of unfinished uploads stay in the folder, so it can be
//! killed and started again.

use std::error::Error;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, folder, access_key, secret_key] = arguments.as_slice() else {
        return Err("usage: s3 PORT FOLDER ACCESS_KEY SECRET_KEY".into());
    };
    let objects =
        s3s_fs::FileSystem::new(folder).map_err(|error| format!("{folder}: {error:?}"))?;
    let mut service = S3ServiceBuilder::new(objects);
    service.set_auth(SimpleAuth::from_single(
        access_key.as_str(),
        secret_key.as_str(),
    ));
    let service = service.build();

    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no trouble of the server's.
            let _ = server
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}
