//! EBML (RFC 8794) elements in bytes, and the ids of those of Matroska that a recording has (RFC 9559, 5.1).

use std::time::Duration;

/// Element ids.
pub(super) mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const EBML_VERSION: u32 = 0x4286;
    pub const EBML_READ_VERSION: u32 = 0x42F7;
    pub const EBML_MAX_ID_LENGTH: u32 = 0x42F2;
    pub const EBML_MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const DOC_TYPE_VERSION: u32 = 0x4287;
    pub const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub const VOID: u32 = 0xEC;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const SEEK_HEAD: u32 = 0x114D_9B74;
    pub const SEEK: u32 = 0x4DBB;
    pub const SEEK_ID: u32 = 0x53AB;
    pub const SEEK_POSITION: u32 = 0x53AC;
    pub const INFO: u32 = 0x1549_A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const DURATION: u32 = 0x4489;
    pub const DATE_UTC: u32 = 0x4461;
    pub const MUXING_APP: u32 = 0x4D80;
    pub const WRITING_APP: u32 = 0x5741;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_UID: u32 = 0x73C5;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const FLAG_LACING: u32 = 0x9C;
    pub const LANGUAGE: u32 = 0x22_B59C;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const SEEK_PRE_ROLL: u32 = 0x56BB;
    pub const VIDEO: u32 = 0xE0;
    pub const FLAG_INTERLACED: u32 = 0x9A;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const AUDIO: u32 = 0xE1;
    pub const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub const CHANNELS: u32 = 0x9F;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const CUES: u32 = 0x1C53_BB6B;
    pub const CUE_POINT: u32 = 0xBB;
    pub const CUE_TIME: u32 = 0xB3;
    pub const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub const CUE_TRACK: u32 = 0xF7;
    pub const CUE_CLUSTER_POSITION: u32 = 0xF1;
}

/// "Unknown" as an EBML size of eight bytes (RFC 8794, 6.2).
pub(super) const UNKNOWN_SIZE: [u8; 8] = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Bytes of one entry of the SeekHead.
pub(super) const SEEK_LENGTH: usize = 21;
/// Bytes of the Duration element.
pub(super) const DURATION_LENGTH: usize = 11;

/// EBML elements (RFC 8794), one after the other.
pub(super) struct Element(pub(super) Vec<u8>);

impl Element {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn id(&mut self, id: u32) -> &mut Self {
        let bytes = id.to_be_bytes();
        let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
        self.0.extend_from_slice(&bytes[skip..]);
        self
    }

    /// A variable-length integer in as few bytes as can hold it; all bits set is kept for "unknown".
    pub(super) fn size(&mut self, size: usize) -> &mut Self {
        let size = size as u64;
        let length = (1..8)
            .find(|length| size < (1 << (7 * length)) - 1)
            .unwrap_or(8);
        let marked = size | (1 << (7 * length));
        self.0
            .extend_from_slice(&marked.to_be_bytes()[8 - length..]);
        self
    }

    pub(super) fn bytes(&mut self, id: u32, bytes: &[u8]) -> &mut Self {
        self.id(id).size(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn uint(&mut self, id: u32, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        let skip = bytes.iter().take_while(|&&byte| byte == 0).count().min(7);
        self.bytes(id, &bytes[skip..])
    }

    pub(super) fn nanoseconds(&mut self, id: u32, value: Duration) -> &mut Self {
        self.uint(id, u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn float(&mut self, id: u32, value: f64) -> &mut Self {
        self.bytes(id, &value.to_be_bytes())
    }

    /// A place of `length` bytes in all that readers skip; at least 2.
    pub(super) fn void(&mut self, length: usize) -> &mut Self {
        if length < 2 {
            return self;
        }
        self.id(id::VOID);
        let room = if length > 100 { length - 9 } else { length - 2 };
        if length > 100 {
            let marked = (1_u64 << 56) | room as u64;
            self.0.extend_from_slice(&marked.to_be_bytes());
        } else {
            self.size(room);
        }
        self.0.resize(self.0.len() + room, 0);
        self
    }

    pub(super) fn seek(&mut self, target: u32, position: usize) -> &mut Self {
        let mut seek = Self::new();
        seek.bytes(id::SEEK_ID, &target.to_be_bytes());
        seek.bytes(id::SEEK_POSITION, &(position as u64).to_be_bytes());
        self.bytes(id::SEEK, &seek.0)
    }
}
