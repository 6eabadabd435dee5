//! Arguments: every command, its flags, and the examples its help starts with. Does nothing.

use super::audit::AuditCommand;
use super::bench::BenchArgs;
use super::events::TailArgs;
use super::index::IndexCommand;
use super::keys::KeysCommand;
use super::order::OrderCommand;
use super::parked::ParkedCommand;
use crate::engines::Grantor;
use crate::services::NAMES;
use clap::{Args, Parser, Subcommand};
use ofs_events::{Timestamp, Topic};
use std::path::PathBuf;

/// Order fulfillment: orders in over HTTP, through payment and fulfillment, to a search index.
#[derive(Debug, Parser)]
#[command(
    name = "ofs",
    version,
    before_help = "\
Examples:
  ofs run --demo                         everything in one process, with orders coming in
  ofs order create --email ada@example.com --product Phone --country GB --watch
  ofs order search --status PaymentFailed
  ofs pipeline                           the backlog of each service
  ofs parked list --state parked         events that could not be handled

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unreachable, 6 timeout,
10 the watched order ended in failure."
)]
pub struct Cli {
    /// Configuration file [default: OFS_CONFIG, else ofs.toml in the current directory].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Server that client commands talk to; else OFS_SERVER, else http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub server: Option<String>,
    /// File with the key that client commands and --demo send; else OFS_API_KEY or OFS_API_KEY_FILE.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub api_key_file: Option<PathBuf>,
    /// Data as JSON on stdout, failures as JSON on stderr.
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run services; all of them by default.
    #[command(before_help = "\
Examples:
  ofs run                                everything in one process, data in ./ofs-data
  ofs run --demo=5                       with five made-up orders a second
  ofs run --service payment-worker       one service; the others run elsewhere
  ofs run --migrate                      after creating the tables and topics it needs
  ofs run --listen 127.0.0.1:9000 --data-dir /var/lib/ofs")]
    Run(RunArgs),
    /// Create, read, search and watch orders.
    #[command(before_help = "\
Examples:
  ofs order create --email ada@example.com --product Phone --country GB
  ofs order search phone --status FulfillmentScheduled")]
    Order {
        /// What to do.
        #[command(subcommand)]
        command: OrderCommand,
    },
    /// Follow events; show, move or forget the positions of consumer groups.
    #[command(before_help = "\
Examples:
  ofs events tail --topic payments.events.v1
  ofs events groups
  ofs events reset --group search-indexer-worker-v1 --to earliest")]
    Events {
        /// What to do.
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// Events that could not be handled: list, show, retry and discard them.
    #[command(before_help = "\
Examples:
  ofs parked list --service payment-worker --state parked
  ofs parked retry 17")]
    Parked {
        /// What to do.
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// The backlog of each service: lag, owed, parked.
    #[command(before_help = "\
Examples:
  ofs pipeline
  ofs pipeline --json | jq '.services[].parked'")]
    Pipeline,
    /// Put load on a server, follow every order to its end, and check that none was lost or doubled.
    #[command(before_help = "\
Examples:
  ofs bench                              10000 orders by 64 clients, as fast as they are answered
  ofs bench --rate 500 --duration 1m     500 orders a second; what comes late counts as late
  ofs bench --clients 1 --orders 500 --follow
  ofs bench --json > before.json
  ofs bench --compare before.json
  ofs bench limits                       what the parts do bare

The orders stay in the server: use one that is there to be tried.")]
    Bench(Box<BenchArgs>),
    /// The search index: show its state, rebuild it, compare it with the orders.
    #[command(before_help = "\
Examples:
  ofs index status
  ofs index verify")]
    Index {
        /// What to do.
        #[command(subcommand)]
        command: IndexCommand,
    },
    /// API keys: who may do what.
    #[command(before_help = "\
Examples:
  ofs keys create --name 'web shop' --scope orders:read --scope orders:write
  ofs keys list

On a running server if --server or OFS_SERVER names one (scope `admin`), or if it has the data
directory; else in the store itself, which needs no key.")]
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The audit trail: who did what, when, from where and why.
    #[command(before_help = "\
Examples:
  ofs audit list
  ofs audit verify")]
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Create or update the tables of the store and the topics of the log.
    #[command(before_help = "\
Examples:
  ofs migrate
  OFS_STORE_URL=postgres://ofs@db/ofs OFS_LOG_URL=kafka://k1:9092 ofs migrate --json")]
    Migrate(MigrateArgs),
    /// Print the least that each service must be allowed at a server of the cluster set, to be run there
    /// by its administrator.
    #[command(before_help = "\
Examples:
  ofs grants postgres | psql -U postgres ofs
  ofs grants kafka | sh
  ofs grants elasticsearch")]
    Grants {
        /// The server.
        #[arg(value_enum, value_name = "SERVER")]
        on: Grantor,
    },
    /// Say what is open in the configuration, and look for damage in the embedded engines' files and for
    /// what store or log have lost. What is stored needs a stopped server; changes nothing. Exits with 1 if
    /// anything is open or wrong.
    #[command(before_help = "\
Examples:
  ofs doctor
  ofs doctor --json | jq .open")]
    Doctor,
    /// Find what store or log have lost (a restored backup, a lost file), and bring it back. Needs a
    /// stopped server.
    #[command(before_help = "\
Examples:
  ofs repair                             says what is missing where; changes nothing
  ofs repair --apply")]
    Repair(RepairArgs),
    /// The configuration, and where each value comes from.
    #[command(before_help = "\
Examples:
  ofs config show                        every key, its value, and where it comes from
  ofs config check --config prod.toml")]
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a server whether it is ready: 0 if so, 1 if not, 5 if it cannot be reached.
    #[command(before_help = "\
Examples:
  ofs health
  ofs health --server http://127.0.0.1:8081")]
    Health,
    /// Print the description of the HTTP surface (OpenAPI 3.1, JSON).
    #[command(before_help = "\
Examples:
  ofs openapi > openapi.json")]
    Openapi,
    /// Print a completion script for a shell.
    #[command(before_help = "\
Examples:
  ofs completions bash > /etc/bash_completion.d/ofs
  ofs completions zsh > ~/.zfunc/_ofs")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `ofs run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Run only this service; may be given more than once.
    #[arg(long = "service", value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    pub services: Vec<String>,
    /// Place made-up orders, this many per second.
    #[arg(long, value_name = "ORDERS_PER_SECOND", num_args = 0..=1, require_equals = true,
        default_missing_value = "2", value_parser = rate)]
    pub demo: Option<f64>,
    /// First create or update the tables of the store and the topics of the log.
    #[arg(long)]
    pub migrate: bool,
    /// If requests need a key and there is none yet, make one that may do everything, and print it.
    #[arg(long)]
    pub print_first_key: bool,
    /// Address of the HTTP server (key `listen`).
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory of the embedded engines' files (key `data-dir`).
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// `ofs migrate`. Everything it needs is configured.
#[derive(Clone, Debug, Default, Args)]
pub struct MigrateArgs {}

/// `ofs events …`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show events as they happen.
    #[command(before_help = "\
Examples:
  ofs events tail
  ofs events tail --topic payments.events.v1 --from earliest --max 10
  ofs events tail --no-follow --json | jq -r .event.eventType | sort | uniq -c
  ofs events tail --order 0198c0de-0000-7000-8000-000000000001 --json")]
    Tail(TailArgs),
    /// Move a consumer group to another position. Stop its services first.
    #[command(before_help = "\
Examples:
  ofs events reset --group search-indexer-worker-v1 --to earliest
  ofs events reset --group payment-worker-v1 --to 2026-01-31T12:00:00Z --topic orders.events.v1

What was already handled is recognized and not handled again.")]
    Reset(ResetArgs),
    /// List the consumer groups that have a position, with the service each belongs to and what it has
    /// still to read. On the embedded engines, this needs a stopped server.
    #[command(before_help = "\
Examples:
  ofs events groups
  ofs events groups --json | jq '.groups[] | select(.service == null)'")]
    Groups,
    /// Forget a consumer group that is no longer used or was renamed. The SQLite log keeps everything a
    /// group has still to read, for as long as it knows the group.
    #[command(before_help = "\
Examples:
  ofs events groups
  ofs events forget --group a-report-of-last-year")]
    Forget(ForgetArgs),
}

/// `ofs repair`.
#[derive(Clone, Copy, Debug, Args)]
pub struct RepairArgs {
    /// Make the changes; without it, only say what would be done.
    #[arg(long)]
    pub apply: bool,
}

/// `ofs events reset`.
#[derive(Clone, Debug, Args)]
pub struct ResetArgs {
    /// The consumer group: a service's name and -v1.
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub group: String,
    /// `earliest`, `latest`, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "WHERE", value_parser = reset_to)]
    pub to: ResetTo,
    /// Only this topic; may be given more than once. By default all that the group reads.
    #[arg(long = "topic", value_name = "TOPIC", value_parser = topic)]
    pub topics: Vec<Topic>,
}

/// `ofs events forget`.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The consumer group, as `ofs events groups` names it.
    #[arg(long, value_name = "GROUP")]
    pub group: String,
    /// Even if it is the group of one of our services, which then reads from the oldest event again.
    #[arg(long)]
    pub force: bool,
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// The oldest record kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// The first record appended at or after this time.
    Time(Timestamp),
}

/// `ofs config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every key with its value and where that comes from; passwords are masked.
    #[command(before_help = "\
Examples:
  ofs config show
  OFS_LISTEN=0.0.0.0:80 ofs config show --json")]
    Show,
    /// Whether the configuration can be used; names everything that is wrong with it.
    #[command(before_help = "\
Examples:
  ofs config check
  ofs config check --config prod.toml")]
    Check,
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("it must be a number from 0.001 to 100000".to_owned()),
    }
}

fn group(text: &str) -> Result<String, String> {
    let groups = NAMES.map(|service| format!("{service}-v1"));
    if groups.iter().any(|group| group == text) {
        return Ok(text.to_owned());
    }
    let meant = crate::config::nearest(text, groups.iter().map(String::as_str));
    Err(match meant {
        Some(meant) => format!("no such group; did you mean {meant}?"),
        None => format!("no such group; groups are {}", groups.join(", ")),
    })
}

pub(super) fn topic(text: &str) -> Result<Topic, String> {
    text.parse().map_err(|_| {
        let names = Topic::ALL.map(Topic::name);
        match crate::config::nearest(text, names) {
            Some(meant) => format!("no such topic; did you mean {meant}?"),
            None => format!("no such topic; topics are {}", names.join(", ")),
        }
    })
}

fn reset_to(text: &str) -> Result<ResetTo, String> {
    match text {
        "earliest" => Ok(ResetTo::Earliest),
        "latest" => Ok(ResetTo::Latest),
        time => time
            .parse()
            .map(ResetTo::Time)
            .map_err(|_| "it must be earliest, latest or an RFC 3339 time".to_owned()),
    }
}
