//! redb: a B-tree of copied pages. Each batch is one write with `Durability::Immediate`, in the order of the keys.

use super::{Row, Store, plain};
use crate::Failure;
use crate::payloads::{Census, Payloads};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::path::Path;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub(crate) fn row() -> Row {
    plain("redb", "redb 4.5: Durability::Immediate, a write a batch", open, count)
}

struct Tree {
    database: Database,
    payloads: Payloads,
}

fn open(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let database = Database::create(directory.join("records.redb"))?;
    Ok(Box::new(Tree { database, payloads: Payloads::new() }))
}

impl Store for Tree {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let mut records = write.open_table(RECORDS)?;
        for (number, payload) in (first..).zip(self.payloads.numbered(first, count)) {
            records.insert(number, payload.as_slice())?;
        }
        drop(records);
        Ok(write.commit()?)
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}

fn count(directory: &Path) -> Result<u64, Failure> {
    let database = Database::open(directory.join("records.redb"))?;
    let (records, mut census) = (database.begin_read()?.open_table(RECORDS)?, Census::default());
    for record in records.iter()? {
        census.take(record?.1.value())?;
    }
    Ok(census.count)
}
