//! The disk as a file system: what the kernel asks over FUSE, answered by the model.
//!
//! Nothing is cached by the kernel: names and attributes are asked for each time, and every file bypasses the page cache,
//! so O_DIRECT is as good as any other way. Numbers of files and handles carry the epoch, so that what was opened before a
//! cut fails with EIO after it. Closing a file asks nothing (`flush` is not there): a process that is killed while it has
//! files of its own file system open would wait for itself.
//!
//! A write is synchronous if the protocol says so: the kernel passes O_DSYNC and O_SYNC of the handle with each write, and sets
//! them for a single write with RWF_DSYNC or RWF_SYNC too.

use crate::content::Content;
use crate::disk::{Directory, Disk, Kind, Node, ROOT, Replaces, Sync};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use rustix::mount::UnmountFlags;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may believe an answer.
const NOT_AT_ALL: Duration = Duration::ZERO;
/// Threads that serve the kernel, so that an idle one never holds up a busy one.
const THREAD_COUNT: usize = 2;
/// Free blocks of 4,096 bytes that the disk claims to have: 4 GiB.
const FREE_BLOCKS: u64 = 1 << 20;

/// A disk, shared by the file system and whoever cuts its power.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<Disk>>);

impl Shared {
    /// Mounts the disk at a directory.
    pub(crate) fn mount(&self, place: &Path) -> io::Result<Mounted> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("annals-powerloss".to_owned()), MountOption::NoAtime];
        config.n_threads = Some(THREAD_COUNT);
        let session = fuser::spawn_mount(self.clone(), place, &config)?;
        Ok(Mounted { _session: session, place: place.to_owned() })
    }
}

/// A mounted disk; dropped, it is unmounted, even if somebody has a file of it open still.
#[derive(Debug)]
pub(crate) struct Mounted {
    _session: BackgroundSession,
    place: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Detached, so that what is open keeps nothing; the session goes when the last of it is closed.
        let _ = rustix::mount::unmount(&self.place, UnmountFlags::DETACH);
    }
}

/// What the kernel calls a node.
fn outer(disk: &Disk, number: u64) -> u64 {
    if number == ROOT { ROOT } else { disk.epoch() << 32 | number }
}

/// The node that the kernel means; none from before the last start.
fn inner(disk: &Disk, number: INodeNo) -> Result<u64, Errno> {
    match (number.0 >> 32, number.0 & u64::from(u32::MAX)) {
        (0, ROOT) => Ok(ROOT),
        (epoch, number) if epoch == disk.epoch() => Ok(number),
        _ => Err(Errno::EIO),
    }
}

fn check_handle(disk: &Disk, handle: FileHandle) -> Result<(), Errno> {
    if handle.0 == disk.epoch() && !disk.is_off() { Ok(()) } else { Err(Errno::EIO) }
}

fn attributes(disk: &Disk, number: u64) -> Result<FileAttr, Errno> {
    let node = disk.node(number)?;
    let size = match &node.kind {
        Kind::File(content) => content.size() as u64,
        Kind::Directory(_) => 4096,
    };
    let kind = kind(node);
    Ok(FileAttr {
        ino: INodeNo(outer(disk, number)),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: node.mode,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn kind(node: &Node) -> FileType {
    if node.is_directory() { FileType::Directory } else { FileType::RegularFile }
}

fn permissions(mode: u32, umask: u32) -> u16 {
    u16::try_from(mode & !umask & 0o7777).unwrap_or(0o600)
}

fn is_synchronous(flags: OpenFlags) -> Sync {
    // O_SYNC holds the bit of O_DSYNC.
    if flags.0 & libc::O_DSYNC == 0 { Sync::No } else { Sync::Yes }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.entry(&NOT_AT_ALL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn size_of(number: u64) -> Result<usize, Errno> {
    usize::try_from(number).ok().filter(|size| *size <= 1 << 30).ok_or(Errno::EFBIG)
}

impl Filesystem for Shared {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.0.lock();
        let found = inner(&disk, parent).and_then(|parent| disk.find(parent, name)?.ok_or(Errno::ENOENT));
        entry(reply, found.and_then(|number| attributes(&disk, number)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let disk = self.0.lock();
        match inner(&disk, number).and_then(|number| attributes(&disk, number)) {
            Ok(attributes) => reply.attr(&NOT_AT_ALL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.0.lock();
        let set = inner(&disk, number).and_then(|number| {
            if let Some(size) = size {
                disk.resize(number, size_of(size)?)?;
            }
            if let Some(mode) = mode {
                disk.set_mode(number, permissions(mode, 0))?;
            }
            attributes(&disk, number)
        });
        match set {
            Ok(attributes) => reply.attr(&NOT_AT_ALL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut disk = self.0.lock();
        let made = inner(&disk, parent).and_then(|parent| {
            let number = disk.create(parent, name, Kind::Directory(Directory::default()), permissions(mode, umask))?;
            attributes(&disk, number)
        });
        entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut disk = self.0.lock();
        let removed = inner(&disk, parent).and_then(|parent| disk.remove(parent, name));
        answer(reply, removed);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut disk = self.0.lock();
        let removed = inner(&disk, parent).and_then(|parent| disk.remove(parent, name));
        answer(reply, removed);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.0.lock();
        let renamed = inner(&disk, parent).and_then(|parent| {
            let replaces = match flags {
                flags if flags.is_empty() => Replaces::What,
                RenameFlags::RENAME_NOREPLACE => Replaces::Nothing,
                _ => return Err(Errno::EINVAL),
            };
            if parent != inner(&disk, new_parent)? {
                return Err(Errno::EXDEV);
            }
            disk.rename(parent, name, new_name, replaces)
        });
        answer(reply, renamed);
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let disk = self.0.lock();
        match inner(&disk, number).and_then(|number| disk.file(number)) {
            Ok(_) => reply.opened(FileHandle(disk.epoch()), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.0.lock();
        let made = inner(&disk, parent).and_then(|parent| {
            let number = disk.create(parent, name, Kind::File(Content::default()), permissions(mode, umask))?;
            attributes(&disk, number)
        });
        match made {
            Ok(attributes) => {
                let handle = FileHandle(disk.epoch());
                reply.created(&NOT_AT_ALL, &attributes, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.0.lock();
        let read = check_handle(&disk, handle).and_then(|()| {
            let content = disk.file(inner(&disk, number)?)?;
            Ok(content.read(usize::try_from(offset).unwrap_or(usize::MAX), size as usize))
        });
        match read {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.0.lock();
        let written = check_handle(&disk, handle).and_then(|()| {
            let (number, offset) = (inner(&disk, number)?, size_of(offset)?);
            disk.write(number, offset, data, is_synchronous(flags))
        });
        match written {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.0.lock();
        let allocated = check_handle(&disk, handle).and_then(|()| {
            if mode != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            let number = inner(&disk, number)?;
            disk.allocate(number, size_of(offset.saturating_add(length))?)
        });
        answer(reply, allocated);
    }

    fn fsync(&self, _: &Request, number: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let mut disk = self.0.lock();
        let synced = check_handle(&disk, handle).and_then(|()| {
            let number = inner(&disk, number)?;
            disk.sync(number)
        });
        answer(reply, synced);
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let disk = self.0.lock();
        match inner(&disk, number).and_then(|number| disk.directory(number)) {
            Ok(_) => reply.opened(FileHandle(disk.epoch()), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, number: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.0.lock();
        let found = check_handle(&disk, handle).and_then(|()| disk.directory(inner(&disk, number)?));
        let directory = match found {
            Ok(directory) => directory,
            Err(error) => return reply.error(error),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (name, child)) in (1..).zip(&directory.entries).skip(skipped) {
            let kind = disk.node(*child).map_or(FileType::RegularFile, kind);
            if reply.add(INodeNo(outer(&disk, *child)), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let mut disk = self.0.lock();
        let synced = check_handle(&disk, handle).and_then(|()| {
            let number = inner(&disk, number)?;
            disk.sync(number)
        });
        answer(reply, synced);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(2 * FREE_BLOCKS, FREE_BLOCKS, FREE_BLOCKS, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Style;
    use rustix::fs::{CWD, FallocateFlags, OFlags, renameat_with};
    use rustix::io::{ReadWriteFlags, pwritev2};
    use std::fs::{File, OpenOptions};
    use std::io::IoSlice;
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    /// A mounted disk, or none for those who may not mount.
    fn mounted() -> Option<(Shared, Mounted, tempfile::TempDir)> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("NOT TESTED: mounting a file system of our own takes root and /dev/fuse");
            return None;
        }
        let (shared, directory) = (Shared(Arc::new(Mutex::new(Disk::new()))), tempfile::tempdir().unwrap());
        let mounted = shared.mount(directory.path()).unwrap();
        Some((shared, mounted, directory))
    }

    fn cut(shared: &Shared, style: Style) {
        let mut disk = shared.0.lock();
        disk.cut(style, 1);
        disk.start();
    }

    fn create(path: &Path, flags: OFlags) -> File {
        let mut options = OpenOptions::new();
        let flags = i32::try_from(flags.bits()).unwrap();
        options.read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path).unwrap()
    }

    #[test]
    fn synchronous_writes_are_told_from_others() {
        let Some((shared, _mounted, directory)) = mounted() else { return };
        let synchronous = || shared.0.lock().counts.synchronous_writes;
        let path = directory.path().join("file");
        let page = [7; 4096];
        let plain = create(&path, OFlags::empty());
        plain.write_all_at(&page, 0).unwrap();
        assert_eq!(synchronous(), 0);
        pwritev2(&plain, &[IoSlice::new(&page)], 4096, ReadWriteFlags::DSYNC).unwrap();
        assert_eq!(synchronous(), 1, "RWF_DSYNC of one write");
        for (expected, flags) in [(2, OFlags::DSYNC), (3, OFlags::SYNC), (4, OFlags::SYNC.union(OFlags::DIRECT))] {
            // A buffer that O_DIRECT takes need not be aligned here: it goes to the model as it is.
            create(&path, flags).write_all_at(&page, expected * 4096).unwrap();
            assert_eq!(synchronous(), expected, "{flags:?}");
        }
        File::open(directory.path()).unwrap().sync_all().unwrap();
        drop(plain);
        cut(&shared, Style::Nothing);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len(), bytes[0], bytes[4096], bytes[4 * 4096]), (5 * 4096, 0, 7, 7));
    }

    #[test]
    fn what_was_open_is_dead_after_a_cut() {
        let Some((shared, _mounted, directory)) = mounted() else { return };
        let path = directory.path().join("file");
        let file = create(&path, OFlags::DIRECT);
        file.write_all_at(&[7; 4096], 0).unwrap();
        file.sync_data().unwrap();
        File::open(directory.path()).unwrap().sync_all().unwrap();
        cut(&shared, Style::Nothing);
        let mut byte = [0];
        assert_eq!(file.read_at(&mut byte, 0).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(file.write_at(&byte, 0).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(std::fs::read(&path).unwrap(), [7; 4096]);
    }

    #[test]
    fn a_segment_is_made_as_on_any_file_system() {
        let Some((shared, _mounted, directory)) = mounted() else { return };
        let (temporary, path) = (directory.path().join("a.tmp"), directory.path().join("a"));
        let file = create(&temporary, OFlags::empty());
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
        file.write_all_at(&[7; 4096], 0).unwrap();
        file.sync_all().unwrap();
        File::open(directory.path()).unwrap().sync_all().unwrap();
        let rename = || renameat_with(CWD, &temporary, CWD, &path, rustix::fs::RenameFlags::NOREPLACE);
        rename().unwrap();
        cut(&shared, Style::Nothing);
        assert!(temporary.exists() && !path.exists(), "the new name was not synced");
        rename().unwrap();
        File::open(directory.path()).unwrap().sync_all().unwrap();
        cut(&shared, Style::Nothing);
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(path.metadata().unwrap().len(), 1 << 20);
        std::fs::write(&temporary, "x").unwrap();
        assert_eq!(rename().unwrap_err(), rustix::io::Errno::EXIST);
    }
}
