/** DuckDB's functions that a reader must tell apart. A test holds both lists to `duckdb_functions()`. */

/** Many rows in, one value out; with the library's own names of some (`n_tile`). */
export const AGGREGATES: ReadonlySet<string> = new Set(
  `any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_max_nulls_last
  arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or bit_xor bitstring_agg bool_and
  bool_or corr count count_if count_star countif covar_pop covar_samp cume_dist dense_rank entropy favg fill first
  first_value fsum geometric_mean geomean group_concat grouping grouping_id histogram histogram_exact
  json_group_array json_group_object json_group_structure kahan_sum kurtosis kurtosis_pop lag last last_value lead
  list list_agg listagg mad max max_by mean median min min_by mode n_tile nth_value ntile percent_rank product quantile quantile_cont
  quantile_disc rank rank_dense regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
  regr_syy reservoir_quantile row_number sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow
  sumkahan var_pop var_samp variance weighted_avg wavg`
    .split(/\s+/)
    .filter((name) => name !== ''),
);

/** Another value at every run or for every connection. */
export const VOLATILE: ReadonlySet<string> = new Set(
  `age ago current_catalog current_connection_id current_database current_date current_localtime
  current_localtimestamp current_query current_query_id current_role current_schema current_schemas current_setting
  current_time current_timestamp current_transaction_id current_user currval error gen_random_uuid get_current_time
  get_current_timestamp getvariable in_search_path localtime localtimestamp nextval now pg_conf_load_time
  pg_postmaster_start_time rand random session_user setseed sleep_ms stats today transaction_timestamp txid_current
  user uuid uuidv4 uuidv7 write_log`
    .split(/\s+/)
    .filter((name) => name !== ''),
);
