//! What it costs to assign a client.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::hint::black_box;

use meshpack_canary_split::policy::assign::{Allocation, Hash, Share, hash};

fn assignment(c: &mut Criterion) {
    let ids: Vec<String> = (0..1024).map(|i| format!("user-{i:012}")).collect();
    let mut group = c.benchmark_group("assignment");
    for (name, kind) in [("flagd", Hash::Flagd), ("unleash", Hash::Unleash)] {
        let share = Share {
            part: 5,
            whole: 100,
        };
        let allocation = Allocation::new(kind, &[share]);
        let mut next = ids.iter().cycle();
        group.bench_function(format!("{name}, 2 arms"), |b| {
            b.iter(|| {
                let id = next.next().map_or("", String::as_str);
                allocation.arm(hash(kind, "payments-2026-11", black_box(id.as_bytes())))
            });
        });
    }
    let shares = [Share {
        part: 5,
        whole: 100,
    }; 8];
    let allocation = Allocation::new(Hash::Flagd, &shares);
    let mut next = ids.iter().cycle();
    group.bench_function("flagd, 9 arms", |b| {
        b.iter(|| {
            let id = next.next().map_or("", String::as_str);
            allocation.arm(hash(
                Hash::Flagd,
                "payments-2026-11",
                black_box(id.as_bytes()),
            ))
        });
    });
    group.bench_function("a new allocation, 9 arms", |b| {
        b.iter_batched(
            || shares,
            |shares| Allocation::new(Hash::Flagd, black_box(&shares)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, assignment);
criterion_main!(benches);
