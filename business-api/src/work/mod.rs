//! One tenant's unit of work: the rows that something is about, in memory; moved by the order room; written back at once.
//!
//! The consumer loads what a whole batch of events is about, REST what one request is about. Nothing is written before
//! [`Work::flush`], and everything is written in the transaction that it was read in.

mod effects;
mod orders;
mod sessions;
mod settle;
mod waiting;

pub(crate) use settle::SAMPLES_WITHIN_MS;
pub(crate) use waiting::WAITS_MS;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    bill::{Options, Sample},
    config::Config,
    metrics::Metrics,
    order::{Limits, Policy},
    store::{
        DbError, TenantId, Tx,
        alarms::AlarmChange,
        commands::CommandRow,
        live::{ChargerView, Connector},
        orders::{Line, OrderRow},
        outbox::Outgoing,
        settlement::{BillRow, LedgerRow, RecordRow, SampleRow},
        tariffs::{DatedTariff, VersionDates},
        tokens::Token,
        work_items::{Closed, WorkItemRow},
    },
    tariff::{Tariff, TariffVersion},
};

/// Settings that decide about orders.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub policy: Policy,
    pub limits: Limits,
    pub options: Options,
    pub command_ttl_ms: i64,
    pub balance_fen: i64,
    pub samples_max: usize,
}

impl Rules {
    pub fn of(config: &Config) -> Self {
        Self {
            policy: config.orders,
            limits: Limits { energy_percent: config.plausibility_percent, ..Limits::default() },
            options: config.billing.clone(),
            command_ttl_ms: config.command_ttl_ms,
            balance_fen: config.default_balance_fen,
            samples_max: config.samples_per_order,
        }
    }
}

/// What to load.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub chargers: BTreeSet<String>,
    pub sessions: BTreeSet<String>,
    /// Of these, sessions that something is said of which may make their order, or tell its start.
    pub starts: BTreeSet<String>,
    pub tags: BTreeSet<String>,
    pub orders: BTreeSet<String>,
    pub commands: BTreeSet<String>,
    pub tokens: BTreeSet<String>,
    /// Tariffs beside those of the chargers and orders.
    pub tariffs: BTreeSet<String>,
    /// Digests of records that are to be applied.
    pub digests: Vec<Vec<u8>>,
    /// Something will be billed: tariffs and samples are needed too.
    pub billing: bool,
}

/// A tariff, and of those of its versions that are not as they always were, by name, since when they are there and how they ended.
struct Rated {
    tariff: Tariff,
    dates: HashMap<String, VersionDates>,
}

impl Rated {
    fn of(dated: DatedTariff) -> Result<Self, DbError> {
        let DatedTariff { group, dates } = dated;
        let names = group.versions.iter().map(|version| version.version.clone());
        let dates = names.zip(dates).filter(|(_, dates)| *dates != VersionDates::default()).collect();
        let tariff = Tariff::new(group.versions)
            .map_err(|error| DbError::Unreadable(format!("tariff {}: {error}", group.id)))?;
        Ok(Self { tariff, dates })
    }

    /// The tariff as it was for an order of then: without the versions that were added later, and none of the others ends sooner than
    /// it did at any time since. `None` where nothing is left.
    fn at(&self, at_ms: i64) -> Option<Cow<'_, Tariff>> {
        let since = |dates: &VersionDates| {
            dates.added_at_ms > at_ms || dates.former_ends.iter().any(|(until_ms, _)| *until_ms > at_ms)
        };
        if !self.dates.values().any(since) {
            return Some(Cow::Borrowed(&self.tariff));
        }
        let as_it_was = |version: &TariffVersion| {
            let Some(dates) = self.dates.get(&version.version) else { return Some(version.clone()) };
            let former = dates.former_ends.iter().filter(|(until_ms, _)| *until_ms > at_ms).map(|(_, end)| *end);
            // No end is the latest.
            let mut ends = former.chain([version.effective_to]);
            let effective_to = ends.try_fold(version.effective_from, |latest, end| end.map(|end| end.max(latest)));
            (dates.added_at_ms <= at_ms).then(|| TariffVersion { effective_to, ..version.clone() })
        };
        Tariff::new(self.tariff.versions().iter().filter_map(as_it_was).collect()).ok().map(Cow::Owned)
    }
}

pub(crate) struct Work {
    pub tenant: TenantId,
    /// Platform time of the work, UTC ms.
    pub now_ms: i64,
    pub rules: Arc<Rules>,
    pub metrics: Arc<Metrics>,
    pub traceparent: String,
    pub chargers: HashMap<String, ChargerView>,
    pub live_changed: BTreeSet<String>,
    pub connectors: HashMap<(String, u32), Connector>,
    pub connectors_changed: BTreeSet<(String, u32)>,
    pub commands: HashMap<String, CommandRow>,
    commands_changed: BTreeSet<String>,
    /// By uid in lower case.
    pub tokens: HashMap<String, Token>,
    orders: HashMap<String, OrderRow>,
    /// State and exception at the beginning, for what is told to the outside.
    orders_changed: BTreeMap<String, Option<(&'static str, Option<&'static str>)>>,
    by_session: HashMap<String, Vec<String>>,
    by_charger: HashMap<String, Vec<String>>,
    tariffs: HashMap<String, Rated>,
    samples: HashMap<String, Vec<Sample>>,
    new_samples: Vec<SampleRow>,
    waiting: waiting::Waiting,
    lines: Vec<Line>,
    records: Vec<RecordRow>,
    bills: Vec<BillRow>,
    ledger: Vec<LedgerRow>,
    items: Vec<WorkItemRow>,
    outgoing: Vec<Outgoing>,
    pub alarms: Vec<AlarmChange>,
    /// Bytes of the record that is being applied.
    record_body: Vec<u8>,
    /// Order and digest of records that are known, of orders that do not know all of theirs.
    known_records: HashSet<(String, String)>,
    /// Why the event that was just applied goes to the dead letters all the same.
    pub set_aside: Option<String>,
}

impl Work {
    /// Reads everything that `wanted` names, and what belongs to it.
    pub async fn load(
        tx: &mut Tx,
        tenant: TenantId,
        now_ms: i64,
        rules: &Arc<Rules>,
        metrics: &Arc<Metrics>,
        wanted: &Wanted,
    ) -> Result<Self, DbError> {
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let mut orders = HashMap::new();
        let chargers = list(&wanted.chargers);
        for found in [
            tx.open_orders(tenant, &chargers).await?,
            tx.orders_of_sessions(tenant, &list(&wanted.sessions)).await?,
            tx.orders_of_tags(tenant, &list(&wanted.tags)).await?,
            tx.orders_of(tenant, &list(&wanted.orders)).await?,
        ] {
            orders.extend(found.into_iter().map(|row| (row.facts.order.order_no.clone(), row)));
        }
        let mut of = wanted.chargers.clone();
        of.extend(orders.values().map(|row| row.facts.order.charger.clone()));
        let of = list(&of);
        let chargers: HashMap<_, _> =
            tx.chargers_of(tenant, &of).await?.into_iter().map(|charger| (charger.id.clone(), charger)).collect();
        let connectors = tx.connectors_of(tenant, &of).await?;
        let commands = tx.commands_of(tenant, &list(&wanted.commands)).await?;
        let tokens = tx.tokens_of(tenant, &list(&wanted.tokens)).await?;
        let mut work = Self {
            tenant,
            now_ms,
            rules: Arc::clone(rules),
            metrics: Arc::clone(metrics),
            traceparent: String::new(),
            chargers,
            live_changed: BTreeSet::new(),
            connectors: connectors.into_iter().map(|row| ((row.charger.clone(), row.connector), row)).collect(),
            connectors_changed: BTreeSet::new(),
            commands: commands.into_iter().map(|row| (row.command_id.clone(), row)).collect(),
            commands_changed: BTreeSet::new(),
            tokens: tokens.into_iter().map(|token| (token.uid.to_ascii_lowercase(), token)).collect(),
            orders: HashMap::new(),
            orders_changed: BTreeMap::new(),
            by_session: HashMap::new(),
            by_charger: HashMap::new(),
            tariffs: HashMap::new(),
            samples: HashMap::new(),
            new_samples: Vec::new(),
            waiting: waiting::Waiting::default(),
            lines: Vec::new(),
            records: Vec::new(),
            bills: Vec::new(),
            ledger: Vec::new(),
            items: Vec::new(),
            outgoing: Vec::new(),
            alarms: Vec::new(),
            record_body: Vec::new(),
            known_records: HashSet::new(),
            set_aside: None,
        };
        let mut rows: Vec<OrderRow> = orders.into_values().collect();
        rows.sort_by(|a, b| {
            let key = |row: &OrderRow| (row.facts.order.created_at_ms, row.facts.order.order_no.clone());
            key(a).cmp(&key(b))
        });
        for row in rows {
            work.index(row);
        }
        if wanted.billing || work.orders.values().any(|row| row.facts.order.is_orphan()) {
            work.load_billing(tx, &wanted.tariffs).await?;
        }
        work.load_waiting(tx, wanted).await?;
        work.load_known_records(tx, &wanted.digests).await?;
        Ok(work)
    }

    async fn load_billing(&mut self, tx: &mut Tx, more: &BTreeSet<String>) -> Result<(), DbError> {
        let of_orders = self.orders.values().filter_map(|row| row.facts.order.tariff.clone());
        let of_chargers = self.chargers.values().map(|charger| charger.tariff.clone());
        let ids: BTreeSet<String> =
            of_orders.chain(of_chargers).chain(more.iter().cloned()).filter(|id| !id.is_empty()).collect();
        for dated in tx.dated_tariffs_of(self.tenant, &ids.into_iter().collect::<Vec<_>>()).await? {
            self.tariffs.insert(dated.group.id.clone(), Rated::of(dated)?);
        }
        let numbers: Vec<String> = self.orders.keys().cloned().collect();
        for row in tx.samples_of(self.tenant, &numbers).await? {
            let sample = Sample { at_ms: row.at_ms, energy: events::units::EnergyE4(row.energy_e4) };
            self.samples.entry(row.order_no).or_default().push(sample);
        }
        Ok(())
    }

    async fn load_known_records(&mut self, tx: &mut Tx, digests: &[Vec<u8>]) -> Result<(), DbError> {
        let full = self.orders.values().map(|row| &row.facts.order).filter(|order| order.is_full_of_records());
        for order in full {
            let digests: Vec<String> = digests.iter().map(hex::encode).collect();
            let session = order.session.as_deref().unwrap_or_default();
            for digest in tx.known_records(self.tenant, &order.charger, session, &digests).await? {
                self.known_records.insert((order.order_no.clone(), digest));
            }
        }
        Ok(())
    }

    /// The order has had this record, as far as it does not say so itself.
    pub fn knows_record(&self, order_no: &str, digest: &str) -> bool {
        !self.known_records.is_empty() && self.known_records.contains(&(order_no.to_owned(), digest.to_owned()))
    }

    fn index(&mut self, row: OrderRow) {
        let order = &row.facts.order;
        let order_no = order.order_no.clone();
        if let Some(session) = &order.session {
            self.by_session.entry(session.clone()).or_default().push(order_no.clone());
        }
        self.by_charger.entry(order.charger.clone()).or_default().push(order_no.clone());
        self.orders.insert(order_no, row);
    }

    pub fn order(&self, order_no: &str) -> Option<&OrderRow> {
        self.orders.get(order_no)
    }

    pub fn tariff(&self, id: &str) -> Option<&Tariff> {
        self.tariffs.get(id).map(|rated| &rated.tariff)
    }

    pub fn put_command(&mut self, row: CommandRow) {
        self.commands_changed.insert(row.command_id.clone());
        self.commands.insert(row.command_id.clone(), row);
    }

    pub fn publish(&mut self, outgoing: Outgoing) {
        self.outgoing.push(outgoing);
    }

    /// Writes everything that changed.
    pub async fn flush(mut self, tx: &mut Tx) -> Result<(), DbError> {
        let (tenant, now_ms) = (self.tenant, self.now_ms);
        let live: Vec<_> = self
            .live_changed
            .iter()
            .filter_map(|id| self.chargers.get(id).map(|charger| (id.as_str(), &charger.live)))
            .collect();
        tx.put_live(tenant, &live).await?;
        let connectors: Vec<_> = self.connectors_changed.iter().filter_map(|key| self.connectors.get(key)).collect();
        tx.put_connectors(tenant, &connectors).await?;
        tx.change_alarms(tenant, &self.alarms).await?;
        let orders: Vec<_> = self.orders_changed.keys().filter_map(|order_no| self.orders.get(order_no)).collect();
        tx.put_orders(tenant, &orders, now_ms).await?;
        tx.append_lines(tenant, &self.lines).await?;
        tx.put_samples(tenant, &self.new_samples).await?;
        self.flush_waiting(tx).await?;
        tx.put_records(tenant, std::mem::take(&mut self.records)).await?;
        tx.put_bills(tenant, &self.bills).await?;
        tx.book(tenant, &self.ledger).await?;
        for (order_no, because) in self.no_longer_held() {
            let closed = Closed { at_ms: now_ms, by: "evgate".to_owned(), because };
            tx.close_held_items(tenant, order_no, &closed).await?;
        }
        tx.open_work_items(tenant, &self.items_to_open(), now_ms).await?;
        let commands: Vec<_> = self.commands_changed.iter().filter_map(|id| self.commands.get(id)).collect();
        tx.put_commands(tenant, &commands).await?;
        self.announce();
        tx.push_outbox(self.outgoing, now_ms).await
    }
}
