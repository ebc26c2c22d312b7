//! What is known by name of the functions and relations that ship with PostgreSQL.
//!
//! Sources: `pg_proc.dat` of PostgreSQL 15, the release notes up to 18, and the chapters "System
//! Administration Functions", "System Views" and "The Cumulative Statistics System".

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::catalog::{Catalog, ColumnId};

/// Every function name in `pg_catalog`, a `!` after those with a volatile variant.
const BUILTIN: &str = include_str!("builtin.txt");

fn builtin() -> &'static HashMap<&'static str, bool> {
    static TABLE: OnceLock<HashMap<&'static str, bool>> = OnceLock::new();
    TABLE.get_or_init(|| {
        BUILTIN
            .split_ascii_whitespace()
            .map(|word| match word.strip_suffix('!') {
                Some(name) => (name, true),
                None => (word, false),
            })
            .collect()
    })
}

/// Whether PostgreSQL ships a function of this name.
pub(crate) fn ships(name: &str) -> bool {
    builtin().contains_key(name)
}

/// Whether a shipped function of this name may change something. Volatile ones may, except those
/// known to be volatile for another reason.
pub(crate) fn may_write(name: &str) -> bool {
    builtin().get(name).copied().unwrap_or(true) && !HARMLESS_VOLATILE.contains(&name)
}

const HARMLESS_VOLATILE: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "bernoulli",
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_uuid",
    "has_sequence_privilege",
    "lastval",
    "pg_collation_actual_version",
    "pg_column_size",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_commit_timestamp",
    "pg_xact_status",
    "random",
    "random_normal",
    "setseed",
    "system",
    "timeofday",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// Functions that pass values on without looking at them: nothing about a value can make them fail
/// or take longer, so a masked argument only makes the result masked.
pub(crate) fn transparent(name: &str) -> bool {
    matches!(
        name,
        "any_value"
            | "array_agg"
            | "array_to_json"
            | "concat"
            | "concat_ws"
            | "first_value"
            | "json_agg"
            | "json_agg_strict"
            | "json_build_array"
            | "json_build_object"
            | "jsonb_agg"
            | "jsonb_agg_strict"
            | "jsonb_build_array"
            | "jsonb_build_object"
            | "lag"
            | "last_value"
            | "lead"
            | "max"
            | "min"
            | "nth_value"
            | "row_to_json"
            | "string_agg"
            | "to_json"
            | "to_jsonb"
    )
}

/// Of those, the functions whose result is one of the values of their first argument.
pub(crate) fn one_of_its_values(name: &str) -> bool {
    matches!(
        name,
        "any_value" | "first_value" | "lag" | "last_value" | "lead" | "max" | "min" | "nth_value"
    )
}

/// Shipped functions whose result is their arguments, one after the other.
pub(crate) fn joins(name: &str) -> bool {
    matches!(name, "concat" | "concat_ws" | "json_build_array" | "json_build_object")
        || matches!(name, "jsonb_build_array" | "jsonb_build_object")
}

/// Shipped functions whose result is no longer than some piece of text: one of their arguments, a
/// part of it, or a number, time or name.
pub(crate) fn keeps_short(name: &str) -> bool {
    one_of_its_values(name)
        || counts(name)
        || scalar_set(name)
        || matches!(
            name,
            "abs"
                | "age"
                | "array_length"
                | "ascii"
                | "avg"
                | "bool_and"
                | "bool_or"
                | "btrim"
                | "cardinality"
                | "ceil"
                | "ceiling"
                | "char_length"
                | "character_length"
                | "chr"
                | "clock_timestamp"
                | "current_schema"
                | "current_setting"
                | "date_part"
                | "date_trunc"
                | "dense_rank"
                | "extract"
                | "floor"
                | "gen_random_uuid"
                | "initcap"
                | "json_array_elements_text"
                | "json_extract_path_text"
                | "jsonb_array_elements_text"
                | "jsonb_extract_path_text"
                | "left"
                | "lower"
                | "ltrim"
                | "make_date"
                | "md5"
                | "mod"
                | "nextval"
                | "octet_length"
                | "pg_get_userbyid"
                | "pg_size_pretty"
                | "position"
                | "random"
                | "rank"
                | "regexp_match"
                | "regexp_substr"
                | "reverse"
                | "right"
                | "round"
                | "row_number"
                | "rtrim"
                | "sign"
                | "split_part"
                | "statement_timestamp"
                | "strpos"
                | "substr"
                | "substring"
                | "sum"
                | "timezone"
                | "to_json"
                | "to_jsonb"
                | "transaction_timestamp"
                | "translate"
                | "trunc"
                | "unnest"
                | "upper"
        )
}

/// Functions that tell no more of a value than its type and whether it is NULL.
pub(crate) fn counts(name: &str) -> bool {
    matches!(name, "count" | "num_nonnulls" | "num_nulls" | "pg_collation_for" | "pg_typeof")
}

/// The reason why a shipped function cannot be looked into, if that is so: it runs text, reads
/// relations named at run time, or reads storage.
pub(crate) fn opaque(name: &str) -> Option<&'static str> {
    Some(match name {
        "query_to_xml"
        | "query_to_xml_and_xmlschema"
        | "query_to_xmlschema"
        | "cursor_to_xml"
        | "cursor_to_xmlschema"
        | "database_to_xml"
        | "database_to_xml_and_xmlschema"
        | "database_to_xmlschema"
        | "schema_to_xml"
        | "schema_to_xml_and_xmlschema"
        | "schema_to_xmlschema"
        | "table_to_xml"
        | "table_to_xml_and_xmlschema"
        | "table_to_xmlschema"
        | "ts_rewrite"
        | "ts_stat" => "dynamic_query",
        "loread" | "lowrite" => "large_object",
        "pg_mcv_list_items" => "statistics",
        _ if tells_sizes(name) => "statistics",
        _ if name.starts_with("lo_") => "large_object",
        _ if name.starts_with("pg_logical_slot_") => "replication",
        _ if server_access(name).is_some() => "server_file",
        _ => return None,
    })
}

/// Whether a shipped function tells how much was written, by anybody or by this session: how long
/// rows are with what is masked in them. Sizes of whole relations, in pages, and counts of rows are
/// left: clients show them with every table.
fn tells_sizes(name: &str) -> bool {
    const COUNTS_OF_ROWS: &[&str] = &[
        "pg_stat_get_live_tuples",
        "pg_stat_get_ins_since_vacuum",
        "pg_stat_get_mod_since_analyze",
    ];
    let of_statistics = name.starts_with("pg_stat_get_")
        && !name.starts_with("pg_stat_get_backend_")
        && !shows_backends(name)
        && !COUNTS_OF_ROWS.contains(&name);
    of_statistics
        || name.starts_with("pg_last_wal_")
        || name.starts_with("pg_control_")
        || matches!(
            name,
            "pg_create_restore_point"
                | "pg_current_wal_flush_lsn"
                | "pg_current_wal_insert_lsn"
                | "pg_current_wal_lsn"
                | "pg_get_replication_slots"
                | "pg_logical_emit_message"
                | "pg_switch_wal"
        )
}

/// Whether a shipped function runs SQL text given to it, or any query chosen at run time.
pub(crate) fn dynamic(name: &str) -> bool {
    matches!(
        name,
        "query_to_xml"
            | "query_to_xml_and_xmlschema"
            | "query_to_xmlschema"
            | "ts_rewrite"
            | "ts_stat"
    )
}

/// The way to files of the server that a function opens, if it does (R6). Includes the functions of
/// the `adminpack` extension, which are in `pg_catalog` too.
pub(crate) fn server_access(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_read_file"
        | "pg_read_binary_file"
        | "pg_read_file_old"
        | "pg_read_server_files"
        | "pg_stat_file"
        | "pg_current_logfile"
        | "pg_hba_file_rules"
        | "pg_ident_file_mappings"
        | "pg_show_all_file_settings" => "read_file",
        "pg_file_write"
        | "pg_file_read"
        | "pg_file_sync"
        | "pg_file_rename"
        | "pg_file_unlink"
        | "pg_file_length"
        | "pg_logdir_ls"
        | "pg_rotate_logfile"
        | "pg_rotate_logfile_old"
        | "pg_backup_start"
        | "pg_backup_stop" => "write_file",
        "lo_import" | "lo_export" => "large_object_file",
        "pg_reload_conf" => "server_settings",
        _ if name.starts_with("pg_ls_") => "list_files",
        _ => return None,
    })
}

/// Relations of PostgreSQL that show files of the server or secrets of its roles.
pub(crate) fn server_relation(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_hba_file_rules" | "pg_ident_file_mappings" | "pg_file_settings" => "read_file",
        "pg_authid" | "pg_shadow" | "pg_user_mapping" => "role_passwords",
        _ => return None,
    })
}

/// Functions that show or signal other backends (R10).
pub(crate) fn shows_backends(name: &str) -> bool {
    matches!(
        name,
        "pg_blocking_pids"
            | "pg_cancel_backend"
            | "pg_get_backend_memory_contexts"
            | "pg_lock_status"
            | "pg_log_backend_memory_contexts"
            | "pg_log_standby_snapshot"
            | "pg_notification_queue_usage"
            | "pg_prepared_xact"
            | "pg_safe_snapshot_blocking_pids"
            | "pg_isolation_test_session_is_blocked"
            | "pg_stat_get_activity"
            | "pg_stat_get_progress_info"
            | "pg_stat_get_wal_senders"
            | "pg_stat_statements"
            | "pg_terminate_backend"
    ) || name.starts_with("pg_stat_get_backend_")
}

/// Relations that show other backends or what they ran (R10).
pub(crate) fn backend_relation(name: &str) -> bool {
    matches!(
        name,
        "pg_locks"
            | "pg_prepared_xacts"
            | "pg_replication_slots"
            | "pg_stat_activity"
            | "pg_stat_gssapi"
            | "pg_stat_replication"
            | "pg_stat_ssl"
            | "pg_stat_statements"
            | "pg_stat_statements_info"
            | "pg_stat_subscription"
            | "pg_stat_wal_receiver"
    ) || name.starts_with("pg_stat_progress_")
}

/// Relations of PostgreSQL that hold copies of stored values, or tell how much was written.
pub(crate) fn opaque_relation(schema: &str, name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_statistic"
        | "pg_stats"
        | "pg_stats_ext"
        | "pg_stats_ext_exprs"
        | "pg_statistic_ext_data" => "statistics",
        "pg_stat_archiver"
        | "pg_stat_bgwriter"
        | "pg_stat_checkpointer"
        | "pg_stat_database"
        | "pg_stat_io"
        | "pg_stat_slru"
        | "pg_stat_wal" => "statistics",
        _ if name.starts_with("pg_stat_xact_") || name.starts_with("pg_statio_") => "statistics",
        "pg_largeobject" => "large_object",
        "pg_stat_activity" | "pg_stat_statements" | "pg_prepared_statements" | "pg_cursors" => {
            return None;
        }
        _ if schema == "pg_toast" => "raw_storage",
        _ => return None,
    })
}

/// Column names of shipped functions that return rows, where there is more than one column or its
/// name is not the function's.
pub(crate) fn out_names(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "json_array_elements"
        | "json_array_elements_text"
        | "jsonb_array_elements"
        | "jsonb_array_elements_text" => &["value"],
        "json_each" | "json_each_text" | "jsonb_each" | "jsonb_each_text" => &["key", "value"],
        "aclexplode" => &["grantor", "grantee", "privilege_type", "is_grantable"],
        "_pg_expandarray" => &["x", "n"],
        "pg_options_to_table" => &["option_name", "option_value"],
        _ => return None,
    })
}

/// Shipped functions in FROM that return one column named after the function or its alias, whatever
/// their arguments. (`unnest` and `lower` of a range are not of these: their values can be rows.)
pub(crate) fn scalar_set(name: &str) -> bool {
    matches!(
        name,
        "generate_series"
            | "generate_subscripts"
            | "json_object_keys"
            | "jsonb_object_keys"
            | "jsonb_path_query"
            | "regexp_matches"
            | "regexp_split_to_table"
            | "string_to_table"
            | "now"
            | "current_database"
            | "current_schemas"
            | "version"
            | "length"
            | "concat"
    )
}

/// Functions of common extensions that are volatile for a reason other than writing, or stable for
/// one other than reading tables: a threshold that is a setting.
pub(crate) fn harmless_extension(name: &str) -> bool {
    matches!(
        name,
        "gen_random_bytes"
            | "gen_random_uuid"
            | "gen_salt"
            | "similarity_op"
            | "strict_word_similarity_commutator_op"
            | "strict_word_similarity_op"
            | "uuid_generate_v1"
            | "uuid_generate_v1mc"
            | "uuid_generate_v4"
            | "word_similarity_commutator_op"
            | "word_similarity_op"
    )
}

/// Columns every table has without having them stored.
pub(crate) fn system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

/// Whether a type that ships with PostgreSQL is called so and no function is. Names of arrays begin
/// with `_`.
pub(crate) fn type_without_function(name: &str) -> bool {
    matches!(
        name,
        "aclitem"
            | "bytea"
            | "cardinal_number"
            | "character_data"
            | "cid"
            | "cstring"
            | "gtsvector"
            | "inet"
            | "int2vector"
            | "json"
            | "jsonb"
            | "jsonpath"
            | "oid8"
            | "oidvector"
            | "refcursor"
            | "sql_identifier"
            | "tid"
            | "time_stamp"
            | "tsquery"
            | "tsvector"
            | "txid_snapshot"
            | "uuid"
            | "xid8"
            | "yes_or_no"
    ) || name.starts_with('_')
        || name.starts_with("reg")
        || name.starts_with("pg_")
}

/// Whether a shipped function has a variant that is volatile.
pub(crate) fn volatile(name: &str) -> bool {
    builtin().get(name).copied().unwrap_or(true)
}

/// Shipped aggregates that statements use most; for the bound of rows only.
pub(crate) fn aggregate(name: &str) -> bool {
    matches!(
        name,
        "array_agg"
            | "avg"
            | "bool_and"
            | "bool_or"
            | "count"
            | "every"
            | "json_agg"
            | "json_object_agg"
            | "jsonb_agg"
            | "jsonb_object_agg"
            | "max"
            | "min"
            | "stddev"
            | "string_agg"
            | "sum"
            | "variance"
    )
}

/// Shipped functions that return exactly one value, likewise.
pub(crate) fn one_row(name: &str) -> bool {
    matches!(
        name,
        "clock_timestamp"
            | "current_database"
            | "current_schema"
            | "current_setting"
            | "currval"
            | "gen_random_uuid"
            | "lastval"
            | "nextval"
            | "now"
            | "pg_advisory_lock"
            | "pg_advisory_lock_shared"
            | "pg_advisory_unlock"
            | "pg_advisory_unlock_all"
            | "pg_advisory_unlock_shared"
            | "pg_advisory_xact_lock"
            | "pg_advisory_xact_lock_shared"
            | "pg_backend_pid"
            | "pg_is_in_recovery"
            | "pg_notify"
            | "pg_sleep"
            | "pg_try_advisory_lock"
            | "pg_try_advisory_lock_shared"
            | "pg_try_advisory_xact_lock"
            | "pg_try_advisory_xact_lock_shared"
            | "random"
            | "set_config"
            | "setval"
            | "statement_timestamp"
            | "transaction_timestamp"
            | "txid_current"
            | "version"
    )
}

/// Settings that decide which plan the server chooses (PostgreSQL 17, section 19.7 "Query
/// Planning", and the memory that it plans with): with an index on a masked column, rows come in
/// the order of its values, and where memory ends, plans and batches tell how long values are. So
/// do the notices in which the server describes its own work. `value` is what it is set to, where
/// that can be told.
#[must_use]
pub fn steers_plans(setting: &str, value: Option<&str>) -> bool {
    if setting == "client_min_messages" {
        let quiet = ["notice", "warning", "error", "fatal", "panic"];
        return !value
            .is_some_and(|value| quiet.iter().any(|word| word.eq_ignore_ascii_case(value)));
    }
    if matches!(setting, "debug_parallel_query" | "force_parallel_mode")
        && value.is_some_and(|value| value.eq_ignore_ascii_case("off"))
    {
        // What it is from the start.
        return false;
    }
    setting.starts_with("enable_")
        || setting.ends_with("_cost")
        || setting.starts_with("debug_")
        || setting.starts_with("geqo")
        || setting.starts_with("max_parallel_")
        || setting.starts_with("min_parallel_")
        || setting.starts_with("trace_")
        || matches!(
            setting,
            "constraint_exclusion"
                | "cursor_tuple_fraction"
                | "default_statistics_target"
                | "effective_cache_size"
                | "force_parallel_mode"
                | "from_collapse_limit"
                | "hash_mem_multiplier"
                | "join_collapse_limit"
                | "log_executor_stats"
                | "parallel_leader_participation"
                | "plan_cache_mode"
                | "recursive_worktable_factor"
                | "temp_buffers"
                | "work_mem"
        )
}

/// Columns of PostgreSQL's own relations that hold values of others: what rows have that were there
/// before the column was added. They stand for all such columns.
const COPIES: [(&str, &str); 1] = [("pg_attribute", "attmissingval")];

/// Columns of PostgreSQL's own relations that tell what the indexes of a table hold: how many
/// entries one has, how many of them were gone through, which of them an update left alone. They
/// stand for all such relations.
const COUNTS: [(&str, &str); 7] = [
    ("pg_class", "reltuples"),
    ("pg_stat_all_tables", "n_dead_tup"),
    ("pg_stat_all_tables", "n_tup_hot_upd"),
    ("pg_stat_all_tables", "n_tup_newpage_upd"),
    ("pg_stat_all_tables", "idx_tup_fetch"),
    ("pg_stat_all_indexes", "idx_tup_read"),
    ("pg_stat_all_indexes", "idx_tup_fetch"),
];

/// No relation has this number.
const COUNTS_OID: u32 = 1;

/// Columns of a relation in `pg_catalog` that tell of values of others, by name.
pub(crate) fn telling(relation: &str) -> impl Iterator<Item = (&'static str, ColumnId)> {
    let stands_for = match relation {
        "pg_stat_sys_tables" | "pg_stat_user_tables" => "pg_stat_all_tables",
        "pg_stat_sys_indexes" | "pg_stat_user_indexes" => "pg_stat_all_indexes",
        other => other,
    };
    let all = COUNTS.iter().zip(index_counts()).chain(COPIES.iter().zip(copies()));
    let stands_for = all.clone().find(|((of, _), _)| *of == stands_for).map(|((of, _), _)| *of);
    all.filter(move |((of, _), _)| Some(*of) == stands_for).map(|((_, name), id)| (*name, id))
}

/// The numbers of those that hold values of others.
pub(crate) fn copies() -> impl Iterator<Item = ColumnId> + Clone {
    let first = 1 + i16::try_from(COUNTS.len()).unwrap_or(i16::MAX);
    (first..).take(COPIES.len()).map(|attnum| ColumnId { relation: COUNTS_OID, attnum })
}

/// The same, where the snapshot has them.
pub(crate) fn copies_in(catalog: &Catalog) -> impl Iterator<Item = ColumnId> + '_ {
    COPIES.iter().flat_map(|(name, column)| {
        let relations = catalog.named(name).filter(|relation| relation.builtin());
        relations.filter_map(|relation| {
            let attnum = relation.column(column)?.attnum;
            Some(ColumnId { relation: relation.oid, attnum })
        })
    })
}

/// The numbers of those that tell of indexes.
pub(crate) fn index_counts() -> impl Iterator<Item = ColumnId> + Clone {
    (1..).take(COUNTS.len()).map(|attnum| ColumnId { relation: COUNTS_OID, attnum })
}

/// What one of them is called.
pub(crate) fn count_name(id: ColumnId) -> Option<String> {
    let place = index_counts().chain(copies()).position(|column| column == id)?;
    COUNTS
        .iter()
        .chain(&COPIES)
        .nth(place)
        .map(|(relation, column)| format!("pg_catalog.{relation}.{column}"))
}
