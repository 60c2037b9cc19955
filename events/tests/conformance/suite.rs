//! What every backend has to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{Ack, AckSink, Append, AppendError, Around, LogError, Position, Record, Start, Subscription},
    topic::Topic,
};

use crate::{
    child::Child,
    rig::{Acks, Rig, append, durable, fill, number, positions, read_count, read_to_end, record, text},
};

pub async fn records_come_back_as_they_were(rig: &dyn Rig) {
    let log = rig.open();
    let before = events::clock::Clock::REAL.now_ms();
    let headers: [(&str, &[u8]); 3] = [("origin", b"ev.device.v1"), ("empty", b""), ("bytes", &[0, 255, 7])];
    let full =
        durable(&*log, Append { topic: Topic::DeviceDlq, key: b"k\0\xff", payload: Some(b""), headers: &headers })
            .await;
    let gone = durable(&*log, Append { topic: Topic::DeviceDlq, key: b"k\0\xff", payload: None, headers: &[] }).await;
    let mut reader = log.tail(&[Topic::DeviceDlq], Start::Beginning).unwrap();
    let records = read_to_end(&mut *reader).await;
    assert_eq!(positions(&records), [full, gone]);
    assert_eq!(&records[0].key[..], b"k\0\xff");
    assert_eq!(records[0].payload.as_deref(), Some(&b""[..]));
    let read: Vec<_> = records[0].headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    assert_eq!(read, headers);
    assert_eq!(records[1].payload, None);
    assert!(records[1].headers.is_empty());
    for record in &records {
        assert!((before - 2000..=before + 60_000).contains(&record.appended_at_ms), "{}", record.appended_at_ms);
    }
    let health = log.health();
    assert_eq!((health.queued, health.degraded), (0, None));
    assert!(health.confirmed_at_ms >= before);
}

pub async fn order_per_key(rig: &dyn Rig) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 2000;
    let log = rig.open();
    let acks = Arc::new(Acks::default());
    // Every writer has two keys of its own, and the writers run against each other.
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (log, acks) = (&log, &acks);
            scope.spawn(move || {
                for i in 0..EACH {
                    let key = format!("key-{writer}-{}", i % 2);
                    append(&**log, record(Topic::Device, &key, &i.to_string()), acks, writer * EACH + i);
                }
            });
        }
    });
    let total = usize::try_from(WRITERS * EACH).unwrap();
    acks.wait_for(total).await;
    let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let records = read_to_end(&mut *reader).await;
    assert_eq!(records.len(), total, "each record once");
    let mut by_key: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for record in &records {
        by_key.entry(record.key.to_vec()).or_default().push(number(record));
        let before = last.insert(record.position.partition, record.position.offset);
        assert!(before.is_none_or(|before| before < record.position.offset), "offsets grow");
    }
    assert_eq!(by_key.len(), 8);
    for (key, numbers) in by_key {
        let writer: u64 = key[4..5].iter().map(|c| u64::from(c - b'0')).sum();
        let parity = u64::from(key[6] - b'0');
        let expected: Vec<_> = (0..EACH).filter(|i| i % 2 == parity).collect();
        assert_eq!(numbers, expected, "writer {writer}");
    }
    // The position in the ack is the position of the record.
    let found: BTreeMap<_, _> =
        records.iter().map(|record| (record.position, (record.key.clone(), number(record)))).collect();
    for token in (0..WRITERS * EACH).step_by(97) {
        let (key, i) = &found[&acks.position(token)];
        assert_eq!((*i, key[4]), (token % EACH, b'0' + u8::try_from(token / EACH).unwrap()));
    }
}

pub async fn an_ack_means_durable(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 1000).await;
    if rig.is_kafka() {
        std::mem::forget(log); // nobody says goodbye properly
        rig.crash_storage();
    } else {
        drop(log); // `embedded_only` kills the process
    }
    let log = rig.open();
    let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let seen: BTreeSet<_> = read_to_end(&mut *reader).await.iter().map(number).collect();
    assert_eq!(seen, (0..1000).collect());
}

pub async fn a_killed_consumer_is_resumed_after_its_commit(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 600).await;
    let mut child = Child::start("consume", &rig.config());
    // It commits after every batch of ten and says so; it dies in the middle of that.
    let mut committed = BTreeMap::new();
    for line in child.lines().take(12) {
        let (partition, offset) = line.split_once(' ').unwrap();
        committed.insert(partition.parse::<i32>().unwrap(), offset.parse::<i64>().unwrap());
    }
    // Said before it died.
    for line in child.kill() {
        let (partition, offset) = line.split_once(' ').unwrap();
        committed.insert(partition.parse().unwrap(), offset.parse().unwrap());
    }
    assert!(!committed.is_empty());
    let mut all = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let everything = read_to_end(&mut *all).await;
    let behind = |(partition, offset): (i32, i64)| committed.get(&partition).is_none_or(|upto| offset > *upto);
    let must_see: BTreeSet<_> =
        everything.iter().map(|r| (r.position.partition, r.position.offset)).filter(|at| behind(*at)).collect();
    assert!(must_see.len() < 600 && must_see.len() > 100, "killed in the middle: {}", must_see.len());
    let mut reader = log.subscribe("resumed", &[Topic::Device]).unwrap();
    let records = read_to_end(&mut *reader).await;
    let seen: Vec<_> = records.iter().map(|r| (r.position.partition, r.position.offset)).collect();
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "nothing twice");
    // A commit may have gone through whose confirmation was not said any more: at most one batch per partition.
    assert!(distinct.is_subset(&must_see), "what was committed comes again");
    assert!(must_see.len() - distinct.len() <= 10, "{} records are lost", must_see.len() - distinct.len());
}

pub async fn members_of_a_group_share_and_each_record_comes_once(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 90).await;
    let mut first = log.subscribe("shared", &[Topic::Device]).unwrap();
    let begun = read_count(&mut *first, 90).await;
    first.commit(&positions(&begun)).await.unwrap();
    let mut second = log.subscribe("shared", &[Topic::Device]).unwrap();
    let mut seen: Vec<(u64, usize)> = Vec::new();
    // Partitions change hands now (Kafka); then both read.
    let settle = Instant::now() + Duration::from_secs(if rig.is_kafka() { 8 } else { 0 });
    let mut next = 90;
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.len() < 300 {
        assert!(Instant::now() < deadline, "{} of 300 read", seen.len());
        if next == 90 && Instant::now() >= settle {
            fill(&*log, 90, 300).await;
            next = 390;
        }
        for (who, member) in [&mut first, &mut second].into_iter().enumerate() {
            let batch = member.poll(50, Duration::from_millis(100)).await.unwrap();
            seen.extend(batch.records.iter().map(|record| (number(record), who)));
            member.commit(&positions(&batch.records)).await.unwrap();
        }
    }
    let numbers: BTreeSet<_> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (90..390).collect());
    assert_eq!(seen.len(), 300, "each record once");
    let readers: BTreeSet<_> = seen.iter().map(|(_, who)| *who).collect();
    assert_eq!(readers.len(), if rig.is_kafka() { 2 } else { 1 }, "one partition has one reader, three have two");
    // The one that stays gets what the other leaves; nothing that was committed comes again, and nothing is left out. What it
    // had read and not committed when the partitions changed hands may come twice.
    drop(first);
    fill(&*log, 390, 30).await;
    let mut rest = BTreeSet::new();
    while rest.len() < 30 {
        assert!(Instant::now() < deadline, "{rest:?}");
        let batch = second.poll(50, Duration::from_millis(500)).await.unwrap();
        rest.extend(batch.records.iter().map(number));
        second.commit(&positions(&batch.records)).await.unwrap();
    }
    assert_eq!(rest, (390..420).collect());
}

pub async fn groups_are_independent(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 50).await;
    for group in ["one", "two"] {
        let mut reader = log.subscribe(group, &[Topic::Device]).unwrap();
        let records = read_to_end(&mut *reader).await;
        assert_eq!(records.len(), 50, "{group} starts at the beginning");
        reader.commit(&positions(&records)).await.unwrap();
    }
    fill(&*log, 50, 5).await;
    let mut again = log.subscribe("one", &[Topic::Device]).unwrap();
    let numbers: BTreeSet<_> = read_to_end(&mut *again).await.iter().map(number).collect();
    assert_eq!(numbers, (50..55).collect());
}

pub async fn tail_from_beginning_end_and_time(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 40).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let between = events::clock::Clock::REAL.now_ms();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fill(&*log, 40, 40).await;
    let mut end = log.tail(&[Topic::Device], Start::End).unwrap();
    fill(&*log, 80, 40).await;
    let mut beginning = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut time = log.tail(&[Topic::Device], Start::At(between)).unwrap();
    let mut future = log.tail(&[Topic::Device], Start::At(between + 3_600_000)).unwrap();
    let read = async |reader: &mut Box<dyn Subscription>, count| -> BTreeSet<u64> {
        read_count(&mut **reader, count).await.iter().map(number).collect()
    };
    assert_eq!(read(&mut beginning, 120).await, (0..120).collect());
    assert_eq!(read(&mut time, 80).await, (40..120).collect());
    assert_eq!(read(&mut end, 40).await, (80..120).collect());
    assert!(read_to_end(&mut *future).await.is_empty());
    fill(&*log, 120, 8).await;
    for reader in [&mut beginning, &mut time, &mut end, &mut future] {
        assert_eq!(read(reader, 8).await, (120..128).collect(), "it goes on");
        reader.commit(&[]).await.unwrap();
    }
}

pub async fn compacted_topic_keeps_the_last_value(rig: &dyn Rig) {
    let log = rig.open();
    let acks = Arc::new(Acks::default());
    let mut expected = BTreeMap::new();
    for round in 0..20 {
        for key in 0..30 {
            let (name, value) = (format!("charger/{key}"), format!("{key}-{round}"));
            append(&*log, record(Topic::Registry, &name, &value), &acks, round * 30 + key);
            expected.insert(name, value);
        }
    }
    acks.wait_for(600).await;
    for key in 0..5 {
        let name = format!("charger/{key}");
        durable(&*log, Append { topic: Topic::Registry, key: name.as_bytes(), payload: None, headers: &[] }).await;
        expected.remove(&name);
    }
    let log = {
        drop(log);
        rig.open()
    };
    let mut reader = log.tail(&[Topic::Registry], Start::Beginning).unwrap();
    let mut replica = BTreeMap::new();
    for record in read_to_end(&mut *reader).await {
        let key = String::from_utf8(record.key.to_vec()).unwrap();
        match &record.payload {
            Some(_) => replica.insert(key, text(&record)),
            None => replica.remove(&key),
        };
    }
    assert_eq!(replica, expected);
    // A replica that is already there hears of every change.
    durable(&*log, record(Topic::Registry, "charger/3", "back")).await;
    let change = read_count(&mut *reader, 1).await;
    assert_eq!((&change[0].key[..], text(&change[0]).as_str()), (&b"charger/3"[..], "back"));
}

pub async fn a_full_queue_refuses_and_does_not_grow(rig: &dyn Rig) {
    const QUEUE: usize = 500;
    drop(rig.open()); // creates what has to be there
    let (log, release) = rig.stuck(QUEUE);
    let acks = Arc::new(Acks::default());
    let (mut taken, mut refused) = (0, 0);
    for token in 0..3000 {
        let ack = Ack::Notify { sink: Arc::clone(&acks) as Arc<dyn AckSink>, token };
        match log.append(record(Topic::Telemetry, "k", "v"), ack) {
            Ok(()) => taken += 1,
            Err(AppendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(taken + refused, 3000);
    assert!((QUEUE / 2..=QUEUE + 1).contains(&taken), "{taken} taken");
    assert!(log.health().queued <= taken as u64);
    assert_eq!(log.flush(Duration::from_millis(300)).await, Err(LogError::Timeout));
    release();
    acks.wait_for(taken).await; // each one that was taken is heard of, whatever became of it
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(acks.count(), taken, "a refused record is never confirmed");
    if !rig.is_kafka() {
        assert!(acks.outcomes.lock().unwrap().values().all(Result::is_ok));
        durable(&*log, record(Topic::Telemetry, "k", "after")).await;
    } else {
        assert!(acks.outcomes.lock().unwrap().values().all(|outcome| *outcome == Err(LogError::Timeout)));
        assert!(log.health().degraded.is_some());
    }
}

pub async fn a_large_record_is_refused(rig: &dyn Rig) {
    let log = rig.open();
    let large = vec![b'x'; 2 << 20];
    let acks = Arc::new(Acks::default());
    let ack = Ack::Notify { sink: Arc::clone(&acks) as Arc<dyn AckSink>, token: 1 };
    let refused = Append { topic: Topic::Device, key: b"k", payload: Some(&large), headers: &[] };
    assert_eq!(log.append(refused, ack), Err(AppendError::TooLarge));
    let fits = Append { payload: Some(&large[..800 << 10]), ..refused };
    let position = durable(&*log, fits).await;
    let mut reader = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let records = read_to_end(&mut *reader).await;
    assert_eq!(positions(&records), [position]);
    assert_eq!(records[0].payload.as_ref().unwrap().len(), 800 << 10);
    assert_eq!(acks.count(), 0);
}

pub async fn at_end_is_the_truth(rig: &dyn Rig) {
    let log = rig.open();
    // Nothing there: the end is where we are, and that is said without waiting for the time to pass.
    let mut reader = log.tail(&[Topic::Device, Topic::Session], Start::Beginning).unwrap();
    let began = Instant::now();
    let mut batch = reader.poll(10, Duration::from_secs(20)).await.unwrap();
    while !batch.at_end {
        batch = reader.poll(10, Duration::from_secs(20)).await.unwrap();
    }
    assert!(batch.records.is_empty());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let mut written = 0;
    for _ in 0..5 {
        fill(&*log, written, 100).await;
        written += 100;
        durable(&*log, record(Topic::Session, "s", &written.to_string())).await;
        let mut fresh = log.tail(&[Topic::Device, Topic::Session], Start::Beginning).unwrap();
        let (mut device, mut session) = (0, String::new());
        loop {
            let batch = fresh.poll(10, Duration::from_secs(20)).await.unwrap();
            assert!(batch.records.len() <= 10);
            device += batch.records.iter().filter(|record| record.position.topic == Topic::Device).count() as u64;
            if let Some(record) = batch.records.iter().rfind(|record| record.position.topic == Topic::Session) {
                session = text(record);
            }
            if batch.at_end {
                break;
            }
        }
        // Everything confirmed before the reader began has been seen when it says so.
        assert_eq!((device, session), (written, written.to_string()));
    }
}

pub async fn flush_waits_for_what_was_taken(rig: &dyn Rig) {
    let log = rig.open();
    durable(&*log, record(Topic::Device, "warm", "0")).await;
    let acks = Arc::new(Acks::default());
    for token in 0..5000 {
        append(&*log, record(Topic::Device, &format!("key-{}", token % 50), "1"), &acks, token);
    }
    log.flush(Duration::from_secs(30)).await.unwrap();
    assert_eq!(acks.count(), 5000);
    assert_eq!(log.health().queued, 0);
}

pub async fn a_dropped_poll_loses_nothing(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 400).await;
    let mut reader = log.subscribe("dropping", &[Topic::Device]).unwrap();
    let (mut seen, mut dropped) = (Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.len() < 400 {
        assert!(Instant::now() < deadline, "{} of 400 read, {dropped} polls dropped", seen.len());
        let poll = reader.poll(20, Duration::from_secs(1));
        // Polled once, then dropped, in turn with one that may finish.
        if dropped % 2 == 0 {
            match futures::future::poll_immediate(poll).await {
                Some(batch) => seen.extend(batch.unwrap().records.iter().map(number)),
                None => tokio::time::sleep(Duration::from_micros(300)).await,
            }
        } else if let Ok(batch) = tokio::time::timeout(Duration::from_millis(3), poll).await {
            seen.extend(batch.unwrap().records.iter().map(number));
        }
        dropped += 1;
    }
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..400).collect());
    assert_eq!(seen.len(), 400);
}

pub async fn every_topic_of_a_subscription_is_read(rig: &dyn Rig) {
    let log = rig.open();
    let topics = [Topic::Device, Topic::Telemetry, Topic::Command];
    let acks = Arc::new(Acks::default());
    for token in 0..900 {
        let topic = topics[usize::try_from(token % 3).unwrap()];
        append(&*log, record(topic, "k", &token.to_string()), &acks, token);
    }
    acks.wait_for(900).await;
    let mut reader = log.subscribe("several", &topics).unwrap();
    let mut first_seen = BTreeMap::new();
    let mut numbers: BTreeMap<Topic, Vec<u64>> = BTreeMap::new();
    let mut polls = 0;
    loop {
        let batch = reader.poll(30, Duration::from_secs(20)).await.unwrap();
        polls += 1;
        for record in &batch.records {
            first_seen.entry(record.position.topic).or_insert(polls);
            numbers.entry(record.position.topic).or_default().push(number(record));
        }
        reader.commit(&positions(&batch.records)).await.unwrap();
        if batch.at_end {
            break;
        }
    }
    for (place, topic) in topics.into_iter().enumerate() {
        assert_eq!(numbers[&topic], (0..900).filter(|n| n % 3 == place as u64).collect::<Vec<_>>(), "{topic}");
    }
    drop(reader);
    let mut again = log.subscribe("several", &topics).unwrap();
    assert!(read_to_end(&mut *again).await.is_empty(), "all three were committed");
}

pub async fn a_stale_commit_moves_nothing_back(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 60).await;
    let mut reader = log.subscribe("stale", &[Topic::Device]).unwrap();
    let records = read_count(&mut *reader, 60).await;
    reader.commit(&positions(&records)).await.unwrap();
    reader.commit(&positions(&records[..5])).await.unwrap();
    reader.commit(&[]).await.unwrap();
    drop(reader);
    fill(&*log, 60, 6).await;
    let mut again = log.subscribe("stale", &[Topic::Device]).unwrap();
    let numbers: BTreeSet<_> = read_count(&mut *again, 6).await.iter().map(number).collect();
    assert_eq!(numbers, (60..66).collect());
}

pub async fn a_reader_with_positions_of_its_own_begins_after_them(rig: &dyn Rig) {
    let log = rig.open();
    let topics = [Topic::Device, Topic::Telemetry];
    fill(&*log, 0, 300).await;
    durable(&*log, record(Topic::Telemetry, "k", "1000")).await;
    let mut reader = log.subscribe("own", &topics).unwrap();
    let all = read_to_end(&mut *reader).await;
    assert_eq!(all.len(), 301);
    reader.commit(&positions(&all)).await.unwrap();
    drop(reader);
    // A database from before: some records of each partition of one topic, nothing of the other.
    let stands = |record: &Record| record.position.topic == Topic::Device && number(record) < 100;
    let mut stored: BTreeMap<i32, Position> = BTreeMap::new();
    for record in all.iter().filter(|record| stands(record)) {
        stored.insert(record.position.partition, record.position);
    }
    let stored: Vec<_> = stored.into_values().collect();
    let mut again = log.subscribe_from("own", &topics, &stored).unwrap();
    let seen: BTreeSet<_> = read_to_end(&mut *again).await.iter().map(number).collect();
    assert_eq!(seen, (100..300).chain([1000]).collect(), "what it has not applied, whatever the group committed");
    drop(again);
    let mut none = log.subscribe_from("own", &topics, &[]).unwrap();
    assert_eq!(read_to_end(&mut *none).await.len(), 301);
}

pub async fn a_partition_taken_over_begins_where_the_reader_stands(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 200).await;
    let mut first = log.subscribe_from("taken", &[Topic::Device], &[]).unwrap();
    let all = read_to_end(&mut *first).await;
    assert_eq!(all.len(), 200);
    let mut second = log.subscribe_from("taken", &[Topic::Device], &[]).unwrap();
    // The first has applied everything since, and the database says so.
    second.stands(&positions(&all));
    first.commit(&positions(&all)).await.unwrap();
    drop(first);
    durable(&*log, record(Topic::Device, "k", "200")).await;
    let seen = read_count(&mut *second, 1).await;
    assert_eq!(seen.iter().map(number).collect::<Vec<_>>(), [200]);
}

pub async fn a_reader_sees_what_is_around_its_position(rig: &dyn Rig) {
    let log = rig.open();
    fill(&*log, 0, 100).await;
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let all = read_to_end(&mut *tail).await;
    let mut last: BTreeMap<i32, &Record> = BTreeMap::new();
    let mut count: BTreeMap<i32, i64> = BTreeMap::new();
    for record in &all {
        last.insert(record.position.partition, record);
        *count.entry(record.position.partition).or_default() += 1;
    }
    let mut asked = Vec::new();
    for record in last.values() {
        asked.push(record.position);
    }
    let behind = last.values().next().unwrap().position;
    let beyond = Position { offset: behind.offset + 1, ..behind };
    let nowhere = Position { partition: 99, ..behind };
    let found: BTreeMap<_, _> = log.around(&asked).await.unwrap().into_iter().collect();
    assert_eq!(found.len(), last.len());
    for record in last.values() {
        let around = &found[&record.position];
        assert_eq!((around.first, around.next), (0, count[&record.position.partition]));
        assert_eq!(around.record.as_ref(), Some(*record), "as every reader sees it");
    }
    let found = log.around(&[beyond, nowhere]).await.unwrap();
    let next = count[&beyond.partition];
    assert_eq!(found, [(beyond, Around { first: 0, next, record: None })], "and none of a partition that is not there");
    assert_eq!(log.around(&[]).await.unwrap(), []);
}

pub async fn a_log_that_ends_before_the_readers_position_fails(rig: &dyn Rig) {
    let log = rig.open();
    let acks = fill(&*log, 0, 20).await;
    let stored: Vec<_> = (0..20).map(|i| Position { offset: 5000, ..acks.position(i) }).collect();
    let mut reader = log.subscribe_from("beyond", &[Topic::Device], &stored).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while reader.poll(10, Duration::from_millis(200)).await.is_ok_and(|batch| batch.records.is_empty()) {
        assert!(Instant::now() < deadline, "it neither fails nor reads");
    }
    assert!(matches!(reader.poll(10, Duration::ZERO).await, Err(LogError::Backend(_))));
}
