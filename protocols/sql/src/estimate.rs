//! How many rows the server's planner may take a query to have, whatever is in its tables.
//!
//! Until PostgreSQL 18 `enable_indexscan = off` adds a number to the cost of a plan
//! (`disable_cost`), so a query that is taken for large enough uses the index all the same. What a
//! query costs is in proportion to its rows, and those are at most the product of what it reads:
//! the digits of the product are the sum of these digits.

/// What cannot be looked into: as much as all of a statement may have.
pub(crate) const UNKNOWN: u32 = LIMIT + 1;
/// A function that is declared with any `ROWS` (`float4`).
pub(crate) const DECLARED: u32 = 39;
/// A set whose size is that of an argument or a guess (`prorows`).
pub(crate) const SET: u32 = 9;

/// Up to here a plan with a scan that is off costs more than any other, when the costs of steps
/// are divided by 10 to the power of [`SCALE`].
///
/// Between them there is room for what a row can cost at most, in steps: a declared function (39
/// digits), all else in a text of any length (10), and `disable_cost` itself, which is 10 digits to
/// the other side.
pub const LIMIT: u32 = 230;
/// See [`LIMIT`]. What is left of a cost is still an ordinary `double`.
pub const SCALE: i32 = 280;

/// Rows that are written out.
pub(crate) fn rows(count: usize) -> u32 {
    count.checked_ilog10().map_or(0, |digits| digits + 1)
}

/// A relation that is no view with a definition.
pub(crate) fn relation(schema: &str, name: &str) -> u32 {
    /// What a table can have and still be read.
    const TABLE: u32 = 9;
    /// A relation of the catalog.
    const CATALOG: u32 = 6;
    /// Views that ship with PostgreSQL, of up to so many relations.
    const VIEW: u32 = 20;
    const INFORMATION: u32 = 40;
    match schema {
        "information_schema" => INFORMATION,
        "pg_catalog" if name.starts_with("pg_stat") || VIEWS.binary_search(&name).is_ok() => VIEW,
        "pg_catalog" => CATALOG,
        _ => TABLE,
    }
}

/// A WITH query that names itself, of what one walk adds in which that added nothing. The planner
/// takes each round for ten times what the first part has (`recursive_worktable_factor`).
pub(crate) fn twice(digits: u32) -> u32 {
    digits.saturating_mul(2).saturating_add(1)
}

/// A function that ships with PostgreSQL.
pub(crate) fn function(name: &str) -> u32 {
    /// Of constants the planner knows the number (`generate_series_int8_support`).
    const SERIES: u32 = 20;
    if name == "generate_series" { SERIES } else { SET }
}

/// Whether a function that ships with PostgreSQL may return several rows (`proretset`).
pub(crate) fn makes_rows(name: &str) -> bool {
    SETS.binary_search(&name).is_ok()
}

/// Views of `pg_catalog` in PostgreSQL 13 to 18, those that begin with `pg_stat` left out.
const VIEWS: [&str; 35] = [
    "pg_aios",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_memory_contexts",
    "pg_config",
    "pg_cursors",
    "pg_dsm_registry_allocations",
    "pg_file_settings",
    "pg_group",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_indexes",
    "pg_locks",
    "pg_matviews",
    "pg_policies",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_publication_tables",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_roles",
    "pg_rules",
    "pg_seclabels",
    "pg_sequences",
    "pg_settings",
    "pg_shadow",
    "pg_shmem_allocations",
    "pg_shmem_allocations_numa",
    "pg_tables",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_user",
    "pg_user_mappings",
    "pg_views",
    "pg_wait_events",
];

/// Functions of PostgreSQL 13 to 18 with `proretset`, in order.
const SETS: [&str; 95] = [
    "_pg_expandarray",
    "aclexplode",
    "brin_page_items",
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_available_wal_summaries",
    "pg_config",
    "pg_cursor",
    "pg_event_trigger_ddl_commands",
    "pg_event_trigger_dropped_objects",
    "pg_extension_update_paths",
    "pg_get_aios",
    "pg_get_backend_memory_contexts",
    "pg_get_catalog_foreign_keys",
    "pg_get_dsm_registry_allocations",
    "pg_get_keywords",
    "pg_get_loaded_modules",
    "pg_get_multixact_members",
    "pg_get_publication_tables",
    "pg_get_replication_slots",
    "pg_get_sequence_data",
    "pg_get_shmem_allocations",
    "pg_get_shmem_allocations_numa",
    "pg_get_wait_events",
    "pg_get_wal_resource_managers",
    "pg_get_wal_summarizer_state",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_listening_channels",
    "pg_lock_status",
    "pg_logical_slot_get_binary_changes",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_peek_binary_changes",
    "pg_logical_slot_peek_changes",
    "pg_ls_archive_statusdir",
    "pg_ls_dir",
    "pg_ls_logdir",
    "pg_ls_logicalmapdir",
    "pg_ls_logicalsnapdir",
    "pg_ls_replslotdir",
    "pg_ls_summariesdir",
    "pg_ls_tmpdir",
    "pg_ls_waldir",
    "pg_mcv_list_items",
    "pg_options_to_table",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_statement",
    "pg_prepared_xact",
    "pg_show_all_file_settings",
    "pg_show_all_settings",
    "pg_show_replication_origin_status",
    "pg_snapshot_xip",
    "pg_stat_get_activity",
    "pg_stat_get_backend_idset",
    "pg_stat_get_backend_io",
    "pg_stat_get_io",
    "pg_stat_get_progress_info",
    "pg_stat_get_recovery_prefetch",
    "pg_stat_get_slru",
    "pg_stat_get_subscription",
    "pg_stat_get_wal_senders",
    "pg_tablespace_databases",
    "pg_timezone_abbrevs",
    "pg_timezone_abbrevs_abbrevs",
    "pg_timezone_abbrevs_zone",
    "pg_timezone_names",
    "pg_wal_summary_contents",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "ts_debug",
    "ts_parse",
    "ts_stat",
    "ts_token_type",
    "txid_snapshot_xip",
    "unnest",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        assert!(SETS.is_sorted());
        assert!(makes_rows("unnest") && makes_rows("generate_series"));
        assert!(!makes_rows("lower") && !makes_rows("pg_get_expr"));
    }

    #[test]
    fn digits_are_those_of_the_next_power_of_ten() {
        assert_eq!([0, 1, 9, 10, 1000].map(rows), [0, 1, 1, 2, 4]);
    }
}
