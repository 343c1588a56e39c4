//! How long is a durable write, by its size? No acknowledgement is faster than the first, no stream than the last.
//!
//! One write after the other, into space written before, on the file system of the temporary directory.

use annals_core::limits::PAGE_SIZE;
use annals_storage::buffer::PageBuffer;
use annals_storage::device::{Device, Preference, Write, WriteKind, open};
use annals_storage::disk::{Access, Disk, FileDisk};
use criterion::{Criterion, Throughput};
use std::sync::Arc;
use std::time::Duration;

const SEGMENT: u64 = 16 << 20;

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path(), Access::Write));
    disk.create_segment(0, SEGMENT, &[0; PAGE_SIZE]).unwrap();
    let mut device = open(&disk, Preference::Best).unwrap().device;
    let mut zeros = PageBuffer::new(1 << 20);
    for offset in (0..SEGMENT).step_by(1 << 20) {
        zeros = write(device.as_mut(), offset, zeros, WriteKind::Runway);
    }
    let mut group = criterion.benchmark_group("device");
    group.measurement_time(Duration::from_secs(3));
    for (name, size) in [("durable_4_kib", 4 << 10), ("durable_256_kib", 256 << 10), ("durable_1_mib", 1 << 20)] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bench| {
            let (mut offset, mut buffer) = (0, Some(PageBuffer::new(size)));
            bench.iter(|| {
                buffer = buffer.take().map(|it| write(device.as_mut(), offset, it, WriteKind::Data));
                offset = (offset + size as u64) % SEGMENT;
            });
        });
    }
    group.finish();
}

/// Writes, and waits until it is durable.
fn write(device: &mut dyn Device, offset: u64, buffer: PageBuffer, kind: WriteKind) -> PageBuffer {
    device.submit(Write { ticket: offset, segment: 0, offset, buffer, kind }).unwrap();
    let mut completions = Vec::new();
    while completions.is_empty() {
        device.wait(None).unwrap();
        device.reap(&mut completions).unwrap();
    }
    let completion = completions.pop().unwrap();
    completion.result.unwrap();
    assert_eq!((completion.ticket, device.in_flight()), (offset, 0));
    completion.buffer
}
