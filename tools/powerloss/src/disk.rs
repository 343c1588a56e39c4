//! A disk with files and directories whose power can be cut: the model that the file system serves.
//!
//! Every change has a number. A file's changes are durable after a sync of the file, a directory's entries after a sync of
//! the directory; until then a cut may take any of them. The cut comes before a chosen change, or when asked for; from then on
//! everything fails until the disk is started again, and what was opened before stays dead. Modes and owners are not modelled as
//! losable: nothing of ours depends on them after a crash.

use crate::content::{Content, Unsynced};
use crate::workload::Random;
use fuser::Errno;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

/// The root directory.
pub(crate) const ROOT: u64 = 1;

/// What survives a cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Everything, as when a process is killed: but what was not synced is not durable for it, and a later cut may take it.
    Kept,
    /// Nothing that was not synced.
    Nothing,
    /// Everything, and it is durable now.
    Everything,
    /// Each sector on its own, so many in a hundred.
    Sectors(u64),
    /// Each operation as a whole, so many in a hundred: later ones may, where earlier ones do not.
    Operations(u64),
    /// All operations up to one, which is torn.
    Prefix,
}

impl Style {
    /// One of them at random.
    pub(crate) fn choose(random: &mut Random) -> Self {
        let share = [5, 50, 95][usize::try_from(random.below(3)).unwrap_or(0)];
        match random.below(10) {
            0 | 1 => Self::Kept,
            2 | 3 => Self::Nothing,
            4 => Self::Everything,
            5 | 6 => Self::Sectors(share),
            7 | 8 => Self::Operations(share),
            _ => Self::Prefix,
        }
    }
}

/// When the power goes, counted from the plan on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Before the change behind so many.
    Changes(u64),
    /// Before the sync of a directory behind so many: names were given and are not durable.
    DirectorySyncs(u64),
}

impl Moment {
    /// What is left of it after a change; none if it is now.
    fn after(self, is_directory_sync: bool) -> Option<Self> {
        match self {
            Self::Changes(left) => left.checked_sub(1).map(Self::Changes),
            Self::DirectorySyncs(left) if is_directory_sync => left.checked_sub(1).map(Self::DirectorySyncs),
            Self::DirectorySyncs(_) => Some(self),
        }
    }
}

/// A change of a directory.
#[derive(Clone, Debug)]
enum Change {
    Add(OsString, u64),
    Remove(OsString),
    Move(OsString, OsString, u64),
}

/// A directory: what is seen, what is durable, and the changes between.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) entries: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    unsynced: Vec<(u64, Change)>,
}

impl Directory {
    fn change(&mut self, operation: u64, change: Change) {
        apply(&mut self.entries, &change);
        self.unsynced.push((operation, change));
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.entries);
        self.unsynced.clear();
    }

    fn cut(&mut self, survives: &dyn Fn(Unsynced) -> bool) {
        for (operation, change) in std::mem::take(&mut self.unsynced) {
            if survives(Unsynced { operation, sector: None }) {
                apply(&mut self.durable, &change);
            }
        }
        self.entries.clone_from(&self.durable);
    }
}

fn apply(entries: &mut BTreeMap<OsString, u64>, change: &Change) {
    match change {
        Change::Add(name, node) => {
            entries.insert(name.clone(), *node);
        }
        Change::Remove(name) => {
            entries.remove(name);
        }
        Change::Move(from, to, node) => {
            entries.remove(from);
            entries.insert(to.clone(), *node);
        }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File(Content),
    Directory(Directory),
}

/// A file or directory.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u16,
}

impl Node {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

/// What a disk did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Writes whose handle or call was synchronous.
    pub(crate) synchronous_writes: u64,
    /// Syncs of files and directories.
    pub(crate) syncs: u64,
    /// Changes that a cut took, or may have taken: those that were not durable then.
    pub(crate) at_stake: u64,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    nodes: HashMap<u64, Node>,
    next_node: u64,
    operation: u64,
    /// Rises with each start.
    epoch: u64,
    is_off: bool,
    /// When the cut comes, and what survives it.
    planned: Option<(Moment, Style, u64)>,
    pub(crate) counts: Counts,
}

impl Disk {
    /// An empty disk that is on.
    pub(crate) fn new() -> Self {
        let mut disk = Self {
            nodes: HashMap::new(),
            next_node: 0,
            operation: 0,
            epoch: 0,
            is_off: false,
            planned: None,
            counts: Counts::default(),
        };
        disk.format();
        disk
    }

    /// Empties the disk, and starts it.
    pub(crate) fn format(&mut self) {
        let root = Node { kind: Kind::Directory(Directory::default()), mode: 0o755 };
        self.nodes = HashMap::from([(ROOT, root)]);
        self.next_node = ROOT + 1;
        self.start();
    }

    /// Starts the disk after a cut; nothing that was open before works any more.
    pub(crate) fn start(&mut self) {
        (self.is_off, self.planned) = (false, None);
        self.epoch += 1;
    }

    /// Rises with each start.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.is_off
    }

    /// Cuts the power when its moment has come.
    pub(crate) const fn plan_cut(&mut self, moment: Moment, style: Style, seed: u64) {
        self.planned = Some((moment, style, seed));
    }

    /// Cuts the power now: what is not durable survives as the style has it.
    pub(crate) fn cut(&mut self, style: Style, seed: u64) {
        (self.is_off, self.planned) = (true, None);
        if style == Style::Kept {
            return;
        }
        let last = self.operation;
        // Of the latest operations, so that what is torn is what was on its way.
        let torn = last.saturating_sub(Random::new(&[seed]).below(8));
        let lasts_whole = |change: Unsynced, share: u64| Random::new(&[seed, change.operation]).below(100) < share;
        let survives = |node: u64, change: Unsynced| {
            let number = change.sector.map_or(u64::MAX, |sector| sector as u64);
            match style {
                Style::Nothing => false,
                Style::Kept | Style::Everything => true,
                Style::Sectors(share) if change.sector.is_some() => {
                    Random::new(&[seed, change.operation, node, number]).below(100) < share
                }
                Style::Sectors(share) | Style::Operations(share) => lasts_whole(change, share),
                Style::Prefix if change.operation == torn => Random::new(&[seed, node, number]).below(2) == 0,
                Style::Prefix => change.operation < torn,
            }
        };
        let at_stake = std::cell::Cell::new(0);
        for (number, node) in &mut self.nodes {
            let survives = |change: Unsynced| {
                at_stake.set(at_stake.get() + 1);
                survives(*number, change)
            };
            match &mut node.kind {
                Kind::File(content) => content.cut(&survives),
                Kind::Directory(directory) => directory.cut(&survives),
            }
        }
        self.counts.at_stake += at_stake.get();
        self.drop_unreachable();
    }

    fn drop_unreachable(&mut self) {
        let (mut reachable, mut left) = (HashSet::from([ROOT]), vec![ROOT]);
        while let Some(number) = left.pop() {
            if let Some(Node { kind: Kind::Directory(directory), .. }) = self.nodes.get(&number) {
                left.extend(directory.entries.values().filter(|child| reachable.insert(**child)));
            }
        }
        self.nodes.retain(|number, _| reachable.contains(number));
    }

    /// Numbers a change, unless the power is off or goes off now.
    fn operation(&mut self, is_directory_sync: bool) -> Result<u64, Errno> {
        if let Some((moment, style, seed)) = self.planned.take() {
            match moment.after(is_directory_sync) {
                Some(left) => self.planned = Some((left, style, seed)),
                None => self.cut(style, seed),
            }
        }
        if self.is_off {
            return Err(Errno::EIO);
        }
        self.operation += 1;
        Ok(self.operation)
    }

    pub(crate) fn node(&self, number: u64) -> Result<&Node, Errno> {
        if self.is_off {
            return Err(Errno::EIO);
        }
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub(crate) fn directory(&self, number: u64) -> Result<&Directory, Errno> {
        match &self.node(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn file(&self, number: u64) -> Result<&Content, Errno> {
        match &self.node(number)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// The node behind a name, if there is one.
    pub(crate) fn find(&self, parent: u64, name: &OsStr) -> Result<Option<u64>, Errno> {
        Ok(self.directory(parent)?.entries.get(name).copied())
    }

    fn change_directory(&mut self, number: u64, change: Change) -> Result<(), Errno> {
        let operation = self.operation(false)?;
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::Directory(directory)) => directory.change(operation, change),
            Some(Kind::File(_)) => return Err(Errno::ENOTDIR),
            None => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    fn change_file(&mut self, number: u64, change: impl FnOnce(u64, &mut Content)) -> Result<(), Errno> {
        self.file(number)?;
        let operation = self.operation(false)?;
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::File(content)) => change(operation, content),
            Some(Kind::Directory(_)) | None => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    /// Makes a file or directory.
    pub(crate) fn create(&mut self, parent: u64, name: &OsStr, kind: Kind, mode: u16) -> Result<u64, Errno> {
        if self.find(parent, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let number = self.next_node;
        self.change_directory(parent, Change::Add(name.to_owned(), number))?;
        self.nodes.insert(number, Node { kind, mode });
        self.next_node += 1;
        Ok(number)
    }

    /// Removes a file, or an empty directory.
    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.find(parent, name)?.ok_or(Errno::ENOENT)?;
        if let Kind::Directory(directory) = &self.node(number)?.kind
            && !directory.entries.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        // The node stays: who has it open goes on, and a cut may bring its name back.
        self.change_directory(parent, Change::Remove(name.to_owned()))
    }

    /// Gives an entry another name in the same directory.
    pub(crate) fn rename(&mut self, parent: u64, from: &OsStr, to: &OsStr, replaces: Replaces) -> Result<(), Errno> {
        let number = self.find(parent, from)?.ok_or(Errno::ENOENT)?;
        if let Some(there) = self.find(parent, to)? {
            let is_filled = self.directory(there).is_ok_and(|directory| !directory.entries.is_empty());
            match replaces {
                Replaces::Nothing => return Err(Errno::EEXIST),
                Replaces::What if is_filled => return Err(Errno::ENOTEMPTY),
                Replaces::What => {}
            }
        }
        self.change_directory(parent, Change::Move(from.to_owned(), to.to_owned(), number))
    }

    /// Writes, durably if the handle or the call is synchronous.
    pub(crate) fn write(&mut self, number: u64, offset: usize, bytes: &[u8], sync: Sync) -> Result<(), Errno> {
        self.counts.synchronous_writes += u64::from(sync == Sync::Yes);
        self.change_file(number, |operation, content| {
            content.write(operation, offset, bytes);
            if sync == Sync::Yes {
                content.sync_range(offset, bytes.len());
            }
        })
    }

    pub(crate) fn resize(&mut self, number: u64, size: usize) -> Result<(), Errno> {
        self.change_file(number, |operation, content| content.resize(operation, size))
    }

    /// Lets a file reach to at least this size, with zeros.
    pub(crate) fn allocate(&mut self, number: u64, end: usize) -> Result<(), Errno> {
        self.change_file(number, |operation, content| content.resize(operation, content.size().max(end)))
    }

    pub(crate) fn set_mode(&mut self, number: u64, mode: u16) -> Result<(), Errno> {
        self.node(number)?;
        if let Some(node) = self.nodes.get_mut(&number) {
            node.mode = mode;
        }
        Ok(())
    }

    /// Makes a file or directory durable. It can be cut before, as any change.
    pub(crate) fn sync(&mut self, number: u64) -> Result<(), Errno> {
        let is_directory = self.node(number)?.is_directory();
        self.operation(is_directory)?;
        self.counts.syncs += 1;
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::File(content)) => content.sync(),
            Some(Kind::Directory(directory)) => directory.sync(),
            None => return Err(Errno::ENOENT),
        }
        Ok(())
    }
}

/// Whether a write is durable when it returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sync {
    Yes,
    No,
}

/// What a new name may lie on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replaces {
    /// Nothing.
    Nothing,
    /// What is there, unless it is a directory with something in it.
    What,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Kind {
        Kind::File(Content::default())
    }

    fn names(disk: &Disk) -> Vec<&str> {
        disk.directory(ROOT).unwrap().entries.keys().map(|name| name.to_str().unwrap()).collect()
    }

    #[test]
    fn names_are_durable_after_a_sync_of_the_directory() {
        let mut disk = Disk::new();
        for name in ["a", "b"] {
            disk.create(ROOT, OsStr::new(name), file(), 0o600).unwrap();
        }
        disk.sync(ROOT).unwrap();
        disk.create(ROOT, OsStr::new("c"), file(), 0o600).unwrap();
        disk.remove(ROOT, OsStr::new("a")).unwrap();
        disk.rename(ROOT, OsStr::new("b"), OsStr::new("d"), Replaces::Nothing).unwrap();
        assert_eq!(names(&disk), ["c", "d"]);
        disk.cut(Style::Nothing, 1);
        disk.start();
        assert_eq!(names(&disk), ["a", "b"], "all of it was lost");
    }

    #[test]
    fn what_a_kill_keeps_a_later_cut_may_take() {
        let mut disk = Disk::new();
        disk.create(ROOT, OsStr::new("a"), file(), 0o600).unwrap();
        for (style, expected) in [(Style::Kept, &["a"][..]), (Style::Kept, &["a"]), (Style::Nothing, &[])] {
            disk.cut(style, 1);
            assert_eq!(disk.node(ROOT).unwrap_err(), Errno::EIO);
            disk.start();
            assert_eq!(names(&disk), expected);
        }
    }

    #[test]
    fn a_synced_file_without_a_name_is_lost() {
        let mut disk = Disk::new();
        let number = disk.create(ROOT, OsStr::new("a"), file(), 0o600).unwrap();
        disk.write(number, 0, b"bytes", Sync::No).unwrap();
        disk.sync(number).unwrap();
        disk.cut(Style::Nothing, 1);
        disk.start();
        assert_eq!(disk.find(ROOT, OsStr::new("a")).unwrap(), None);
        assert_eq!(disk.node(number).unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn a_planned_cut_comes_before_its_change_and_all_fails_until_the_start() {
        for (changes, expected) in [(0, ""), (1, "a"), (2, "b"), (3, "b")] {
            let mut disk = Disk::new();
            let number = disk.create(ROOT, OsStr::new("a"), file(), 0o600).unwrap();
            disk.sync(ROOT).unwrap();
            disk.plan_cut(Moment::Changes(changes), Style::Nothing, 1);
            let first = disk.write(number, 0, b"a", Sync::Yes);
            let second = first.and_then(|()| disk.write(number, 0, b"b", Sync::Yes));
            let third = second.and_then(|()| disk.write(number, 0, b"c", Sync::No));
            assert_eq!((third.is_ok(), disk.is_off()), (changes == 3, changes < 3));
            if !disk.is_off() {
                disk.cut(Style::Nothing, 1);
            }
            assert_eq!(disk.node(number).unwrap_err(), Errno::EIO);
            assert_eq!(disk.sync(number).unwrap_err(), Errno::EIO);
            disk.start();
            assert_eq!(disk.file(number).unwrap().read(0, 9), expected.as_bytes());
        }
    }

    #[test]
    fn a_cut_can_wait_for_a_name_that_is_not_synced() {
        for syncs in [0, 1] {
            let mut disk = Disk::new();
            disk.plan_cut(Moment::DirectorySyncs(syncs), Style::Nothing, 1);
            let number = disk.create(ROOT, OsStr::new("a"), file(), 0o600).unwrap();
            disk.sync(number).unwrap();
            assert_eq!(disk.sync(ROOT).is_ok(), syncs == 1);
            if syncs == 1 {
                disk.create(ROOT, OsStr::new("b"), file(), 0o600).unwrap();
                assert_eq!(disk.sync(ROOT).unwrap_err(), Errno::EIO);
            }
            disk.start();
            assert_eq!(names(&disk), ["a"][..usize::try_from(syncs).unwrap()]);
        }
    }

    #[test]
    fn what_survives_follows_from_the_seed() {
        let cut = |style, seed| {
            let mut disk = Disk::new();
            let number = disk.create(ROOT, OsStr::new("a"), file(), 0o600).unwrap();
            disk.sync(ROOT).unwrap();
            disk.allocate(number, 1 << 16).unwrap();
            disk.sync(number).unwrap();
            for write in 0..16 {
                disk.write(number, write << 12, &[1; 4096], Sync::No).unwrap();
            }
            disk.cut(style, seed);
            disk.start();
            disk.file(number)
                .unwrap()
                .read(0, 1 << 16)
                .iter()
                .step_by(512)
                .map(|byte| usize::from(*byte))
                .sum::<usize>()
        };
        assert_eq!([cut(Style::Nothing, 1), cut(Style::Everything, 1)], [0, 128]);
        let some = |style| (1..20).map(|seed| cut(style, seed)).collect::<Vec<_>>();
        assert_eq!(some(Style::Sectors(50)), some(Style::Sectors(50)));
        assert!(some(Style::Sectors(50)).iter().all(|count| (30..98).contains(count)));
        assert!(some(Style::Operations(50)).iter().all(|count| count % 8 == 0), "whole writes");
        let torn = some(Style::Prefix);
        assert!(torn.iter().any(|count| count % 8 != 0) && torn.iter().all(|count| 64 <= *count), "{torn:?}");
    }
}
