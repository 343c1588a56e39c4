//! Copying the segments of a backup: read past any cache, written and synced, or kept where an older backup has them.

use super::manifest::{Listed, segment_path};
use super::{BackupError, Older, Shown};
use crate::home::{Home, HomeError, io_error, sync_directory};
use crate::open_error::OpenError;
use annals_storage::buffer::PageBuffer;
use annals_storage::disk::Disk;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at a time.
const CHUNK_SIZE: usize = 1 << 20;

/// Takes pieces of a segment, each with its offset in bytes; says whether it wants more.
type Take<'a> = dyn FnMut(u64, &[u8]) -> Result<bool, HomeError> + 'a;

/// What became of the segments.
#[derive(Default)]
pub(super) struct Copied {
    pub(super) listed: Vec<Listed>,
    pub(super) bytes_copied: u64,
    pub(super) bytes_kept: u64,
    pub(super) segments_kept: u64,
}

/// Copies the segments of the prefix, or keeps those that the older backup has already. Durable on return.
pub(super) fn copy_segments(
    source: &dyn Disk,
    shown: &Shown,
    older: Option<&Older>,
    made: &Home,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, BackupError> {
    let total = shown.segments.iter().map(|(_, _, prefix)| prefix).sum();
    let (mut copied, mut done) = (Copied::default(), 0);
    for (number, size, prefix) in &shown.segments {
        let (number, size, prefix) = (*number, *size, *prefix);
        let path = segment_path(number);
        let target = made.root().join(&path);
        let kept = older.filter(|_| shown.is_closed(number)).map(|older| older.path.join(&path));
        let hash = match kept {
            Some(kept) => keep(source, number, size, &kept, &target)?,
            None => None,
        };
        let hash = match hash {
            Some(hash) => {
                copied.segments_kept += 1;
                copied.bytes_kept += size;
                hash
            }
            None => {
                copied.bytes_copied += prefix;
                let mut tell = |offset| progress(done + offset, total);
                copy_segment(source, number, size, prefix, &target, &mut tell)?
            }
        };
        copied.listed.push(Listed::new(path, size, &hash));
        done += prefix;
        progress(done, total);
    }
    sync_directory(&made.segments())?;
    Ok(copied)
}

/// Gives a segment that an older backup has, byte for byte, a second name; its hash, or none if it has another or none.
fn keep(
    source: &dyn Disk,
    number: u64,
    size: u64,
    kept: &Path,
    target: &Path,
) -> Result<Option<blake3::Hash>, BackupError> {
    let mut file = match File::open(kept) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", kept)(error).into()),
    };
    if file.metadata().map_err(io_error("inspect", kept))?.len() != size {
        return Ok(None);
    }
    let (mut hasher, mut found) = (blake3::Hasher::new(), vec![0; CHUNK_SIZE]);
    let same = each_chunk(source, number, size, &mut |_, expected| {
        let found = found.get_mut(..expected.len()).unwrap_or_default();
        hasher.update(expected);
        Ok(file.read_exact(found).is_ok() && found == expected)
    })?;
    // A file system without second names gets a copy.
    Ok(if same && std::fs::hard_link(kept, target).is_ok() { Some(hasher.finalize()) } else { None })
}

/// Copies a segment up to where the prefix ends, zeros behind it; its hash. Durable on return.
fn copy_segment(
    source: &dyn Disk,
    number: u64,
    size: u64,
    prefix: u64,
    target: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<blake3::Hash, BackupError> {
    let file = File::create_new(target).map_err(io_error("create", target))?;
    let mut hasher = blake3::Hasher::new();
    each_chunk(source, number, prefix, &mut |offset, chunk| {
        hasher.update(chunk);
        // Zeros are left out of the file: a segment that was made ahead of need takes no room.
        if chunk.iter().any(|byte| *byte != 0) {
            file.write_all_at(chunk, offset).map_err(io_error("write", target))?;
        }
        tell(offset);
        Ok(true)
    })?;
    let zeros = vec![0; CHUNK_SIZE];
    let mut left = size - prefix;
    while let Some(some @ [_, ..]) = zeros.get(..usize::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE)) {
        hasher.update(some);
        left -= some.len() as u64;
    }
    file.set_len(size).and_then(|()| file.sync_all()).map_err(io_error("write", target))?;
    Ok(hasher.finalize())
}

/// Hands a segment on in pieces, past any cache, up to an end that is whole pages, as long as `take` wants more.
fn each_chunk(source: &dyn Disk, number: u64, end: u64, take: &mut Take<'_>) -> Result<bool, BackupError> {
    let (mut offset, mut buffer) = (0, PageBuffer::new(CHUNK_SIZE));
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
        buffer.resize(length);
        source.read(number, offset, &mut buffer).map_err(OpenError::from)?;
        if !take(offset, &buffer)? {
            return Ok(false);
        }
        offset += length as u64;
    }
    Ok(true)
}
