//! SQLite, bundled: journal_mode=WAL, synchronous=FULL, which syncs the write-ahead log before a write is answered.
//!
//! A prepared insert, the records' numbers as the table's row ids; checkpoints as SQLite makes them by itself.

use super::{Row, Store, plain};
use crate::Failure;
use crate::payloads::{Census, Payloads};
use rusqlite::Connection;
use std::path::Path;

pub(crate) fn row() -> Row {
    plain("sqlite", "SQLite 3, rusqlite 0.41: WAL, synchronous=FULL", open, count)
}

struct Table {
    connection: Connection,
    payloads: Payloads,
}

fn open(directory: &Path) -> Result<Box<dyn Store>, Failure> {
    let connection = Connection::open(directory.join("records.sqlite"))?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous=FULL")?;
    let full: u32 = connection.query_row("PRAGMA synchronous", (), |row| row.get(0))?;
    if mode != "wal" || full != 2 {
        return Err(format!("journal_mode is {mode}, synchronous is {full}").into());
    }
    connection.execute_batch("CREATE TABLE records (number INTEGER PRIMARY KEY, payload BLOB NOT NULL)")?;
    Ok(Box::new(Table { connection, payloads: Payloads::new() }))
}

impl Store for Table {
    fn append(&mut self, first: u64, count: usize) -> Result<(), Failure> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let mut insert = self.connection.prepare_cached("INSERT INTO records VALUES (?1, ?2)")?;
        for (number, payload) in (first..).zip(self.payloads.numbered(first, count)) {
            insert.execute((i64::try_from(number)?, payload.as_slice()))?;
        }
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(None)
    }
}

fn count(directory: &Path) -> Result<u64, Failure> {
    let connection = Connection::open(directory.join("records.sqlite"))?;
    let mut records = connection.prepare("SELECT payload FROM records ORDER BY number")?;
    let (mut rows, mut census) = (records.query(())?, Census::default());
    while let Some(row) = rows.next()? {
        census.take(row.get_ref(0)?.as_blob()?)?;
    }
    Ok(census.count)
}
