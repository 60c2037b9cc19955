//! `evgate dlq`: what was put aside, giving events back, and leaving letters alone. Works on the database, beside running processes; what is redriven
//! leaves through the outbox as soon as an API process runs.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use business_api::{
    Store, TenantId,
    dead_letters::{self, DismissError, NOBODY, RedriveError, head_json, whole_json},
    store::{
        DbError,
        dead_letters::{Letter, LetterFilter, WholeLetter},
    },
};
use clap::{Args, Subcommand};
use events::clock::Clock;
use serde_json::Value;

use crate::{
    cli::ConfigArgs,
    config::Config,
    decode::{self, Protocol},
    exit::{Exit, Failure, OrExit as _, Outcome, say},
    serve,
};

/// `evgate dlq`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct DlqArgs {
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// `evgate dlq ..`.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Dead letters of all tenants, newest first
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// One dead letter: its origin, its headers, its bytes decoded
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
    /// Give events back to the topic they came from
    #[command(after_help = REDRIVE_HELP)]
    Redrive(RedriveArgs),
    /// Leave letters alone for good: they stay, and no longer wait
    #[command(after_help = DISMISS_HELP)]
    Dismiss(DismissArgs),
}

/// Which letters.
#[derive(Debug, Args)]
pub struct Which {
    /// Only of this dead-letter topic, or from this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only with this reason, e.g. unknown_charger
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only of this charger
    #[arg(long, value_name = "ID")]
    pub charger: Option<String>,
}

/// Where the database is.
#[derive(Debug, Args)]
pub struct Where {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The database is in this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `evgate dlq list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub which: Which,
    /// Only those that nobody has redriven or dismissed
    #[arg(long)]
    pub waiting: bool,
    /// At most so many, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: Where,
}

/// `evgate dlq show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// As `evgate dlq list` names it
    #[arg(value_name = "LETTER")]
    pub letter: String,
    /// As a JSON object
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// Only the original bytes, to stdout
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub at: Where,
}

/// `evgate dlq redrive`.
#[derive(Debug, Args)]
pub struct RedriveArgs {
    /// As `evgate dlq list` names them
    #[arg(value_name = "LETTER", conflicts_with_all = ["topic", "reason", "charger"])]
    pub letters: Vec<String>,
    #[command(flatten)]
    pub which: Which,
    /// Also letters that were redriven before; they have to be named
    #[arg(long, requires = "letters")]
    pub force: bool,
    /// Who does this; kept with the letter
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    pub by: String,
    #[command(flatten)]
    pub at: Where,
}

/// `evgate dlq dismiss`.
#[derive(Debug, Args)]
pub struct DismissArgs {
    /// As `evgate dlq list` names them
    #[arg(value_name = "LETTER", required = true)]
    pub letters: Vec<String>,
    /// Why; kept with the letter
    #[arg(long, value_name = "TEXT")]
    pub because: String,
    /// Who does this; kept with the letter
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    pub by: String,
    #[command(flatten)]
    pub at: Where,
}

const LIST_HELP: &str = "\
Examples:
  evgate dlq list --waiting
  evgate dlq list --charger 10010001000001 --json | jq .reason

A line per letter: id, when it was put aside, tenant (- is nobody's that is known), charger, origin, reason, and when it was
redriven, or \"dismissed\". What the letters are and what to do about each reason: docs/dead-letters.md
";

const SHOW_HELP: &str = "\
Examples:
  evgate dlq show 6f1c2a90d34b5e7788990a1b2c3d4e5f
  evgate dlq show --raw 6f1c2a90d34b5e7788990a1b2c3d4e5f | xxd

Exit 65: there is no such letter.
";

const REDRIVE_HELP: &str = "\
Examples:
  evgate dlq redrive 6f1c2a90d34b5e7788990a1b2c3d4e5f
  evgate dlq redrive --reason unknown_charger --charger 10010001000001

Letters by filter go oldest first, and only those that nobody has redriven or dismissed. An event that was applied after all
changes nothing; one that fails again becomes a new letter. The events leave as soon as an API process runs.
Exit 1: a named letter was redriven before, or holds a charger's message instead of an event. Exit 65: there is none.
";

const DISMISS_HELP: &str = "\
Examples:
  evgate dlq dismiss 6f1c2a90d34b5e7788990a1b2c3d4e5f --because \"settled by hand, order 2603...\"

A dismissed letter no longer counts as waiting. It keeps its bytes for as long as the log keeps them, and may still be
redriven by name.
Exit 1: a letter was dismissed before. Exit 64: no reason. Exit 65: there is no such letter.
";

/// Letters redriven between two looks at what is left.
const AT_ONCE: i64 = 200;

/// Runs `evgate dlq`.
///
/// # Errors
/// Exit 65 for a letter that is not there, 66 without a database, 69 when it does not answer.
pub fn run(args: &DlqArgs) -> Outcome {
    let at = match &args.command {
        DlqCommand::List(args) => &args.at,
        DlqCommand::Show(args) => &args.at,
        DlqCommand::Redrive(args) => &args.at,
        DlqCommand::Dismiss(args) => &args.at,
    };
    let mut config = Config::load(at.config.config.as_deref(), std::env::vars()).or_exit(Exit::Usage)?;
    if let Some(folder) = &at.data {
        config.keep_data_in(folder);
    }
    config.api.validate().map_err(|error| anyhow!("api.{error}")).or_exit(Exit::Usage)?;
    if at.config.check {
        println!("the configuration is valid");
        return Ok(Exit::Ok);
    }
    let url = &config.api.database_url;
    // Opening would make an empty one.
    let file = url.strip_prefix("sqlite:").map(|rest| rest.split('?').next().unwrap_or(rest));
    if let Some(file) = file.filter(|file| !Path::new(file).exists()) {
        return Err(Failure::new(Exit::NoInput, anyhow!("there is no database {file}")));
    }
    let clock = Clock::from(&config.clock);
    serve::runtime()?.block_on(async {
        let store = Store::open(url).await.context("cannot open the database").or_exit(Exit::Unavailable)?;
        let outcome = match &args.command {
            DlqCommand::List(args) => list(&store, args).await.or_exit(Exit::Unavailable),
            DlqCommand::Show(args) => show(&store, args).await,
            DlqCommand::Redrive(args) => redrive(&store, args, clock.now_ms()).await,
            DlqCommand::Dismiss(args) => dismiss(&store, args, clock.now_ms()).await,
        };
        store.close().await;
        outcome
    })
}

/// `waiting`: only those that nobody has redriven or dismissed.
fn filter(which: &Which, waiting: bool) -> LetterFilter {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    LetterFilter {
        topic: text(&which.topic),
        reason: text(&which.reason),
        charger: text(&which.charger),
        redriven: waiting.then_some(false),
        dismissed: waiting.then_some(false),
        ..LetterFilter::default()
    }
}

async fn list(store: &Store, args: &ListArgs) -> anyhow::Result<Exit> {
    let filter = filter(&args.which, args.waiting);
    let limit = i64::from(args.limit);
    let mut found: Vec<(TenantId, Letter)> = Vec::new();
    for tenant in dead_letters::owners(store).await? {
        let letters = store.read(tenant).await?.dead_letters(tenant, &filter, (i64::MAX, i64::MAX, ""), limit).await?;
        found.extend(letters.into_iter().map(|letter| (tenant, letter)));
    }
    found.sort_by_key(|(_, letter)| std::cmp::Reverse((letter.appended_at_ms, letter.partition, letter.offset)));
    found.truncate(args.limit as usize);
    let mut out = io::stdout().lock();
    for (tenant, letter) in &found {
        let json = with_tenant(head_json(letter), *tenant);
        if args.json {
            writeln!(out, "{json}")?;
            continue;
        }
        let dismissed = letter.dismissed.is_some();
        let text = |pointer: &str| json.pointer(pointer).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
        let (letter, at, charger) = (text("/letter"), text("/put_aside_at"), text("/charger"));
        let (origin, reason, redriven) = (text("/origin/topic"), text("/reason"), text("/redriven/at"));
        let done = if redriven == "-" && dismissed { "dismissed".to_owned() } else { redriven };
        writeln!(out, "{letter}  {at}  {:<6} {charger:<20} {origin:<15} {reason:<28} {done}", name(*tenant))?;
    }
    Ok(Exit::Ok)
}

/// 0 = nobody that is known.
fn with_tenant(mut json: Value, tenant: TenantId) -> Value {
    if let Some(members) = json.as_object_mut() {
        members.insert("tenant".to_owned(), tenant.0.into());
    }
    json
}

fn name(tenant: TenantId) -> String {
    if tenant == NOBODY { "-".to_owned() } else { tenant.to_string() }
}

/// A letter by its id, whosever it is.
async fn find(store: &Store, id: &str) -> Result<(TenantId, WholeLetter), Failure> {
    let found = async {
        for tenant in dead_letters::owners(store).await? {
            if let Some(whole) = store.read(tenant).await?.dead_letter(tenant, id).await? {
                return Ok::<_, DbError>(Some((tenant, whole)));
            }
        }
        Ok(None)
    };
    let found = found.await.or_exit(Exit::Unavailable)?;
    found.ok_or_else(|| Failure::new(Exit::Data, anyhow!("there is no dead letter {id:?}: see `evgate dlq list`")))
}

async fn show(store: &Store, args: &ShowArgs) -> Outcome {
    let (tenant, whole) = find(store, &args.letter).await?;
    let mut out = io::stdout().lock();
    let written = if args.raw {
        out.write_all(whole.payload.as_deref().unwrap_or_default())
    } else if args.json {
        writeln!(out, "{:#}", with_tenant(whole_json(&whole), tenant))
    } else {
        describe(tenant, &whole, &mut out)
    };
    written.and_then(|()| out.flush()).context("stdout").or_exit(Exit::Unavailable)?;
    Ok(Exit::Ok)
}

fn describe(tenant: TenantId, whole: &WholeLetter, out: &mut dyn Write) -> io::Result<()> {
    let json = whole_json(whole);
    writeln!(out, "tenant: {}", name(tenant))?;
    for (member, value) in json.as_object().into_iter().flatten() {
        if !["headers", "payload_hex", "text", "event"].contains(&member.as_str()) {
            writeln!(out, "{member}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
        }
    }
    writeln!(out, "headers:")?;
    for (header, value) in &whole.headers {
        writeln!(out, "  {header}: {value}")?;
    }
    if let Some(event) = json.get("event").filter(|event| !event.is_null()) {
        writeln!(out, "event: {event:#}")?;
    }
    if let Some(text) = json.get("text").and_then(|text| text.as_str()) {
        writeln!(out, "text: {text}")?;
    }
    writeln!(out, "hex: {}", json.get("payload_hex").and_then(|hex| hex.as_str()).unwrap_or("(no bytes)"))?;
    let spoke_ykc = whole.headers.iter().any(|(name, value)| name == "protocol" && value == "PROTOCOL_YKC");
    if let Some(bytes) = whole.payload.as_deref().filter(|_| spoke_ykc) {
        writeln!(out, "as far as it can be read:")?;
        for problem in decode::decode(bytes, Protocol::Ykc, false, out)?.problems {
            writeln!(out, "  {problem}")?;
        }
    }
    Ok(())
}

async fn redrive(store: &Store, args: &RedriveArgs, now_ms: i64) -> Outcome {
    let by = format!("cli:{}", args.by);
    let Which { topic, reason, charger } = &args.which;
    if !args.letters.is_empty() {
        let mut exit = Exit::Ok;
        for id in &args.letters {
            let (tenant, _) = find(store, id).await?;
            match give_back(store, tenant, id, &by, args.force, now_ms).await {
                Ok(()) => println!("{id} is redriven"),
                Err(RedriveError::Db(error)) => return Err(Failure::new(Exit::Unavailable, error)),
                Err(RedriveError::Before) => {
                    exit = Exit::Failed;
                    say(format_args!("evgate dlq: {id}: it was redriven before; --force does it again"));
                }
                Err(error) => {
                    exit = Exit::Failed;
                    say(format_args!("evgate dlq: {id}: {error}"));
                }
            }
        }
        return Ok(exit);
    }
    if topic.is_none() && reason.is_none() && charger.is_none() {
        let why = anyhow!("which letters? Name them, or say --topic, --reason or --charger");
        return Err(Failure::new(Exit::Usage, why));
    }
    let done = all(store, &filter(&args.which, true), &by, now_ms).await.or_exit(Exit::Unavailable)?;
    println!("{done} redriven");
    Ok(Exit::Ok)
}

async fn dismiss(store: &Store, args: &DismissArgs, now_ms: i64) -> Outcome {
    let by = format!("cli:{}", args.by);
    let mut exit = Exit::Ok;
    for id in &args.letters {
        let (tenant, _) = find(store, id).await?;
        match leave(store, tenant, id, &by, &args.because, now_ms).await {
            Ok(()) => println!("{id} is dismissed"),
            Err(DismissError::Db(error)) => return Err(Failure::new(Exit::Unavailable, error)),
            Err(error @ DismissError::NoReason) => return Err(Failure::new(Exit::Usage, error)),
            Err(error) => {
                exit = Exit::Failed;
                say(format_args!("evgate dlq: {id}: {error}"));
            }
        }
    }
    Ok(exit)
}

async fn leave(
    store: &Store,
    tenant: TenantId,
    id: &str,
    by: &str,
    because: &str,
    now_ms: i64,
) -> Result<(), DismissError> {
    let mut tx = store.write(tenant).await?;
    dead_letters::dismiss(&mut tx, tenant, id, by, because, now_ms).await?;
    Ok(tx.commit().await?)
}

async fn give_back(
    store: &Store,
    tenant: TenantId,
    id: &str,
    by: &str,
    again: bool,
    now_ms: i64,
) -> Result<(), RedriveError> {
    let mut tx = store.write(tenant).await?;
    dead_letters::redrive(&mut tx, tenant, id, by, again, now_ms).await?;
    Ok(tx.commit().await?)
}

/// Every letter of the filter that is there now, oldest first.
async fn all(store: &Store, filter: &LetterFilter, by: &str, now_ms: i64) -> Result<u64, RedriveError> {
    // What fails again becomes a new letter while this runs: that one is for the next time.
    let filter = LetterFilter { to_ms: Clock::REAL.now_ms(), ..filter.clone() };
    let mut done = 0;
    for tenant in dead_letters::owners(store).await? {
        loop {
            let letters = store.read(tenant).await?.events_put_aside(tenant, &filter, AT_ONCE).await?;
            let mut went = false;
            for letter in &letters {
                match give_back(store, tenant, &letter.id, by, false, now_ms).await {
                    Ok(()) => (done, went) = (done + 1, true),
                    Err(RedriveError::Before) => went = true, // somebody else was faster
                    Err(RedriveError::NoEvent | RedriveError::Unknown) => {}
                    Err(error) => return Err(error),
                }
            }
            if !went {
                break;
            }
        }
    }
    Ok(done)
}
