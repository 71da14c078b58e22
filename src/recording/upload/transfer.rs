//! One file: put at its target in parts, read back and compared.

use std::path::Path;

use futures_util::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::UploadError;
use super::target::Target;

/// Of a multipart upload; S3 wants at least 5 MiB.
const PART: u64 = 8 * 1024 * 1024;
/// S3 takes 10,000.
const PARTS: u64 = 9_000;
/// On their way at one time, of one file.
const PARTS_AT_ONCE: usize = 2;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its length.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes with SHA-256 {}", self.bytes, self.sha256)
    }
}

/// Looks at a file of this machine.
///
/// # Errors
/// Of the file system.
pub async fn content_of(file: &Path) -> Result<Content, UploadError> {
    let failed = |source| UploadError::Local {
        file: file.to_owned(),
        source,
    };
    let mut reader = File::open(file).await.map_err(failed)?;
    let mut sum = Sum::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = reader.read(&mut buffer).await.map_err(failed)?;
        if read == 0 {
            return Ok(sum.finish());
        }
        sum.add(&buffer[..read]);
    }
}

/// Makes sure that the target has the file: puts it there unless it is there already, reads it back and compares.
/// `moved` is told of bytes that were sent.
///
/// # Errors
/// Of the file system, of the target, and where what is read back is something else.
pub async fn ensure(
    target: &Target,
    object: &ObjectPath,
    file: &Path,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<Content, UploadError> {
    let content = content_of(file).await?;
    if is_there(target, object, &content).await? {
        moved(content.bytes);
        return Ok(content);
    }
    put(target, object, file, content.bytes, moved).await?;
    compare(target, object, &content).await?;
    Ok(content)
}

/// Puts a short text there, reads it back and compares.
///
/// # Errors
/// Of the target, and where what is read back is something else.
pub async fn ensure_text(
    target: &Target,
    object: &ObjectPath,
    text: Vec<u8>,
) -> Result<(), UploadError> {
    let mut sum = Sum::default();
    sum.add(&text);
    target
        .store
        .put(object, text.into())
        .await
        .map_err(|source| target.error(object, "put", source))?;
    compare(target, object, &sum.finish()).await
}

async fn is_there(
    target: &Target,
    object: &ObjectPath,
    expected: &Content,
) -> Result<bool, UploadError> {
    match target.store.head(object).await {
        Ok(found) if found.size != expected.bytes => Ok(false),
        Ok(_) => Ok(read_back(target, object).await? == *expected),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(source) => Err(target.error(object, "look for", source)),
    }
}

async fn compare(
    target: &Target,
    object: &ObjectPath,
    expected: &Content,
) -> Result<(), UploadError> {
    let found = read_back(target, object).await?;
    if found == *expected {
        return Ok(());
    }
    Err(UploadError::Differs {
        target: target.name.clone(),
        object: object.to_string(),
        found,
        expected: expected.clone(),
    })
}

async fn read_back(target: &Target, object: &ObjectPath) -> Result<Content, UploadError> {
    let failed = |source| target.error(object, "read back", source);
    let mut stream = target
        .store
        .get(object)
        .await
        .map_err(failed)?
        .into_stream();
    let mut sum = Sum::default();
    while let Some(bytes) = stream.next().await {
        sum.add(&bytes.map_err(failed)?);
    }
    Ok(sum.finish())
}

async fn put(
    target: &Target,
    object: &ObjectPath,
    file: &Path,
    bytes: u64,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let failed = |source| target.error(object, "put", source);
    let mut reader = Parts::open(file, PART.max(bytes.div_ceil(PARTS))).await?;
    if bytes <= PART {
        let whole = reader.next().await?;
        let length = whole.len() as u64;
        let payload = PutPayload::from(whole);
        target.store.put(object, payload).await.map_err(failed)?;
        moved(length);
        return Ok(());
    }
    let upload = target.store.put_multipart(object).await.map_err(failed)?;
    let part = usize::try_from(reader.length).unwrap_or(usize::MAX);
    let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
    match send(&mut upload, reader, moved, failed).await {
        Ok(()) => upload.finish().await.map(drop).map_err(failed),
        Err(error) => {
            // Parts that stay behind cost money; a server that is away cannot be asked, though.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

async fn send(
    upload: &mut WriteMultipart,
    mut reader: Parts<'_>,
    moved: &(dyn Fn(u64) + Sync),
    failed: impl Fn(object_store::Error) -> UploadError,
) -> Result<(), UploadError> {
    loop {
        let part = reader.next().await?;
        if part.is_empty() {
            return Ok(());
        }
        upload
            .wait_for_capacity(PARTS_AT_ONCE)
            .await
            .map_err(&failed)?;
        moved(part.len() as u64);
        upload.put(part.into());
    }
}

/// A file, piece by piece.
struct Parts<'f> {
    file: &'f Path,
    reader: File,
    length: u64,
}

impl<'f> Parts<'f> {
    async fn open(file: &'f Path, length: u64) -> Result<Self, UploadError> {
        let reader = File::open(file)
            .await
            .map_err(|source| UploadError::Local {
                file: file.to_owned(),
                source,
            })?;
        Ok(Self {
            file,
            reader,
            length,
        })
    }

    /// Empty at the end.
    async fn next(&mut self) -> Result<Vec<u8>, UploadError> {
        let mut part = Vec::new();
        let read = (&mut self.reader).take(self.length);
        tokio::pin!(read);
        read.read_to_end(&mut part)
            .await
            .map_err(|source| UploadError::Local {
                file: self.file.to_owned(),
                source,
            })?;
        Ok(part)
    }
}

#[derive(Default)]
struct Sum {
    bytes: u64,
    hash: Sha256,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn finish(self) -> Content {
        let digits = self.hash.finalize();
        Content {
            bytes: self.bytes,
            sha256: digits.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    fn target() -> Target {
        let text = "s3://calls".to_owned();
        let url = super::super::TargetUrl::try_from(text).unwrap();
        let settings = super::super::TargetSettings::new(url);
        let mut target = Target::open(&settings).unwrap();
        target.store = Arc::new(InMemory::new());
        target
    }

    #[tokio::test]
    async fn another_object_of_the_same_length_is_replaced() {
        let (target, folder) = (target(), tempfile::tempdir().unwrap());
        let (object, file) = (ObjectPath::from("a"), folder.path().join("a"));
        std::fs::write(&file, "right").unwrap();
        let put = target.store.put(&object, "wrong".into()).await;
        put.unwrap();
        let content = ensure(&target, &object, &file, &|_| {}).await.unwrap();
        assert_eq!(content.bytes, 5);
        let found = target.store.get(&object).await.unwrap();
        assert_eq!(found.bytes().await.unwrap(), "right");
    }

    #[tokio::test]
    async fn a_large_file_arrives_in_parts_and_is_not_sent_again() {
        let (target, folder) = (target(), tempfile::tempdir().unwrap());
        let (object, file) = (ObjectPath::from("a"), folder.path().join("a"));
        let text: Vec<u8> = (0..2 * PART + 1).map(|n| (n % 251) as u8).collect();
        std::fs::write(&file, &text).unwrap();
        let moved = std::sync::Mutex::new(Vec::new());
        let note = |bytes| moved.lock().unwrap().push(bytes);
        ensure(&target, &object, &file, &note).await.unwrap();
        ensure(&target, &object, &file, &note).await.unwrap();
        assert_eq!(*moved.lock().unwrap(), [PART, PART, 1, 2 * PART + 1]);
        let found = target.store.get(&object).await.unwrap();
        assert!(found.bytes().await.unwrap() == text);
    }

    #[tokio::test]
    async fn what_comes_back_different_is_an_error_that_names_both() {
        let target = target();
        let object = ObjectPath::from("a");
        target.store.put(&object, "wrong".into()).await.unwrap();
        let expected = Content {
            bytes: 5,
            sha256: "0".repeat(64),
        };
        let error = compare(&target, &object, &expected).await.unwrap_err();
        assert!(!error.is_refusal());
        let text = error.to_string();
        assert!(text.contains("s3://calls: a: found 5 bytes"), "{text}");
        assert!(text.contains(&expected.sha256), "{text}");
    }
}
