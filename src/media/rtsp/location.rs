//! The URL of an RTSP camera, which may hold a password: what may be told of it, and what is wrong with it.

/// An `rtsp` or `rtsps` URL. It may hold a password: only [`Location::camera`] may be told.
#[derive(Clone)]
pub struct Location {
    pub url: url::Url,
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, without the URL itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let right = "attachertsp needs location=rtsp://HOST/PATH (or rtsps://), with USER:PASSWORD@ before the host \
                     where the camera wants it";
        if text.is_empty() {
            return Err(format!("no location; {right}"));
        }
        let url = url::Url::parse(text)
            .map_err(|error| format!("the location is no URL ({error}); {right}"))?;
        if !matches!(url.scheme(), "rtsp" | "rtsps") {
            return Err(format!(
                "the location begins with {}:; {right}",
                url.scheme()
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("the location names no host; {right}"));
        }
        Ok(Self { url })
    }

    /// Host, port and path: what may be told.
    pub fn camera(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{host}{}{}", port.unwrap_or_default(), self.url.path())
    }

    /// The URL without user and password.
    pub fn redacted(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.camera())
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn a_location_is_told_without_its_password() {
        let location =
            Location::parse("rtsp://admin:s3cret%40@cam.local:8554/live?token=abc").unwrap();
        assert_eq!(location.camera(), "cam.local:8554/live");
        assert_eq!(location.redacted(), "rtsp://cam.local:8554/live");
    }

    #[test]
    fn a_wrong_location_is_told_with_what_would_be_right_and_without_itself() {
        for wrong in [
            "",
            "camera",
            "http://admin:s3cret@cam/",
            "rtsp://",
            "file:///etc/passwd",
        ] {
            let Err(error) = Location::parse(wrong) else {
                panic!("{wrong:?} passed")
            };
            assert!(
                error.contains("rtsp://HOST/PATH") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
