//! What `append` reads: lines or files, one after another, none larger than a payload can be.

use crate::line::Append;
use annals::limits::{PAYLOAD_SIZE_MAX, SALT_SIZE};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

/// Most bytes of a line or file.
pub(crate) const CONTENT_SIZE_MAX: usize = PAYLOAD_SIZE_MAX - SALT_SIZE;
const BUFFER_SIZE: usize = 256 << 10;

/// What was read: a line or a file.
pub(crate) enum Read1 {
    /// Its bytes.
    Content(Vec<u8>),
    /// It is too large; nothing of it is kept.
    TooLarge,
    /// It can't be read.
    Failed(io::Error),
}

/// Lines or files, numbered from 1.
pub(crate) enum Input {
    Lines(Box<dyn BufReaderLike>),
    Files(std::vec::IntoIter<PathBuf>),
}

/// A buffered reader that tells what it holds already.
pub(crate) trait BufReaderLike: BufRead {
    /// Whether a whole line can be had without waiting.
    fn has_line(&self) -> bool;
}

impl<R: Read> BufReaderLike for BufReader<R> {
    fn has_line(&self) -> bool {
        self.buffer().contains(&b'\n')
    }
}

impl Input {
    /// Opens what the command line names.
    pub(crate) fn open(append: &Append) -> Result<Self, (PathBuf, io::Error)> {
        let Some(path) = &append.lines else { return Ok(Self::Files(append.files.clone().into_iter())) };
        if path.as_os_str() == "-" {
            return Ok(Self::Lines(Box::new(BufReader::with_capacity(BUFFER_SIZE, io::stdin()))));
        }
        let file = File::open(path).map_err(|error| (path.clone(), error))?;
        Ok(Self::Lines(Box::new(BufReader::with_capacity(BUFFER_SIZE, file))))
    }

    /// Whether the next one can be had without waiting for somebody.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Lines(reader) => reader.has_line(),
            Self::Files(_) => true,
        }
    }

    /// The next line or file; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Read1>, io::Error> {
        match self {
            Self::Lines(reader) => next_line(reader.as_mut()),
            Self::Files(paths) => Ok(paths.next().map(|path| read_path(&path))),
        }
    }
}

fn next_line(mut reader: &mut dyn BufReaderLike) -> Result<Option<Read1>, io::Error> {
    let mut line = Vec::new();
    let most = CONTENT_SIZE_MAX as u64 + 1;
    let read = (&mut reader).take(most).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if CONTENT_SIZE_MAX < line.len() {
        reader.skip_until(b'\n')?;
        return Ok(Some(Read1::TooLarge));
    }
    Ok(Some(Read1::Content(line)))
}

fn read_path(path: &PathBuf) -> Read1 {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(CONTENT_SIZE_MAX as u64 + 1).read_to_end(&mut bytes)) {
        Ok(read) if CONTENT_SIZE_MAX < read => Read1::TooLarge,
        Ok(_) => Read1::Content(bytes),
        Err(error) => Read1::Failed(error),
    }
}
