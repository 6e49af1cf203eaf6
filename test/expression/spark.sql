-- s1 = 'it''s \ ok' and s2 like '100!%' escape '!'
((`s1` = 'it\'s \\ ok') AND (`s2` LIKE '100#%' ESCAPE '#'))

-- s1 like '%a\b_'
(`s1` LIKE '%a\\b_' ESCAPE '!')

-- i1 + i2 * -3
try_cast(CAST(`i1` AS DECIMAL(38, 0)) + CAST(try_cast(CAST(`i2` AS DECIMAL(38, 0)) * CAST(CAST(-3 AS BIGINT) AS DECIMAL(38, 0)) AS BIGINT) AS DECIMAL(38, 0)) AS BIGINT)

-- i1 // i2
try_cast(CASE WHEN CAST(`i2` AS DECIMAL(38, 0)) = -1 THEN -CAST(`i1` AS DECIMAL(38, 0)) ELSE CAST(CAST(`i1` AS DECIMAL(38, 0)) div nullif(CAST(`i2` AS DECIMAL(38, 0)), 0) AS DECIMAL(38, 0)) END AS BIGINT)

-- i1 % i2
try_cast(CAST(`i1` AS DECIMAL(38, 0)) % nullif(CAST(`i2` AS DECIMAL(38, 0)), 0) AS BIGINT)

-- d1 * d2 + 1.5
try_cast(CAST(try_cast(CAST(`d1` AS DECIMAL(18, 2)) * CAST(`d2` AS DECIMAL(18, 5)) AS DECIMAL(18, 7)) AS DECIMAL(36, 7)) + CAST(CAST(1.5000000 AS DECIMAL(36, 7)) AS DECIMAL(36, 7)) AS DECIMAL(18, 7))

-- round(d2, 2)
try_cast(round(CAST(`d2` AS DECIMAL(36, 5)), 2) AS DECIMAL(18, 2))

-- trunc(d2)
try_cast(CASE WHEN CAST(`d2` AS DECIMAL(36, 5)) < 0 THEN ceil(CAST(`d2` AS DECIMAL(36, 5))) ELSE floor(CAST(`d2` AS DECIMAL(36, 5))) END AS BIGINT)

-- f1 / f2 % 3e0
CASE WHEN abs(((`f1` / nullif(`f2`, 0D)) % nullif(CAST(3e0 AS DOUBLE), 0D))) <= 1.7976931348623157E308D THEN ((`f1` / nullif(`f2`, 0D)) % nullif(CAST(3e0 AS DOUBLE), 0D)) + 0.0 END

-- trunc(f1) + round(f2, 2)
transform(array(((CASE WHEN abs(`f1`) < 4503599627370496D THEN CAST(CAST(`f1` AS BIGINT) AS DOUBLE) ELSE `f1` END + 0.0) + (coalesce(transform(array((round(CASE WHEN abs((`f2` * CAST(100e0 AS DOUBLE))) <= 1.7976931348623157E308D THEN (`f2` * CAST(100e0 AS DOUBLE)) + 0.0 END)) / CAST(100e0 AS DOUBLE)), _v1 -> CASE WHEN abs(_v1) <= 1.7976931348623157E308D THEN _v1 + 0.0 END)[0], `f2`) + 0.0))), _v2 -> CASE WHEN abs(_v2) <= 1.7976931348623157E308D THEN _v2 + 0.0 END)[0]

-- cast(f1 as int64)
(CASE WHEN round(`f1`) >= -9223372036854775808D AND round(`f1`) < 9223372036854775808D THEN CAST(round(`f1`) AS BIGINT) END)

-- cast(f1 as decimal(2))
try_cast(CAST(CASE WHEN round((`f1` * CAST(100e0 AS DOUBLE))) >= -9223372036854775808D AND round((`f1` * CAST(100e0 AS DOUBLE))) < 9223372036854775808D THEN CAST(round((`f1` * CAST(100e0 AS DOUBLE))) AS BIGINT) END AS DECIMAL(38, 0)) * CAST('0.01' AS DECIMAL(3, 2)) AS DECIMAL(18, 2))

-- cast(s1 as int64)
try_cast(CAST(CASE WHEN regexp_extract(`s1`, '^[+-]?[0-9]{1,30}$', 0) = `s1` THEN `s1` END AS DECIMAL(38, 0)) AS BIGINT)

-- cast(s1 as float64)
transform(array(try_cast(CASE WHEN regexp_extract(`s1`, '^[+-]?([0-9]{1,255}(\\.[0-9]{0,255})?|\\.[0-9]{1,255})([eE][+-]?[0-9]{1,4})?$', 0) = `s1` THEN `s1` END AS DOUBLE)), _v1 -> CASE WHEN abs(_v1) <= 1.7976931348623157E308D THEN _v1 + 0.0 END)[0]

-- cast(s1 as decimal(3))
try_cast(CASE WHEN regexp_extract(`s1`, '^[+-]?[0-9]{1,30}(\\.[0-9]{0,30})?$', 0) = `s1` THEN `s1` END AS DECIMAL(18, 3))

-- cast(s1 as date)
try_cast(CASE WHEN regexp_extract(`s1`, '^(1[6-9]|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}$', 0) = `s1` THEN `s1` END AS DATE)

-- cast(s1 as timestamp)
timestamp_micros(nullif((try_cast(CAST(transform(array(CASE WHEN regexp_extract(`s1`, '^(1[6-9]|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$', 0) = `s1` THEN `s1` END), _v1 -> unix_micros(try_cast(CASE WHEN length(_v1) = 10 THEN concat(_v1, ' 00:00:00+00:00') WHEN _v1 RLIKE '(Z|[+-][0-9][0-9]:[0-9][0-9])$' THEN _v1 ELSE concat(_v1, '+00:00') END AS TIMESTAMP)))[0] AS DECIMAL(38, 0)) * 1024 AS BIGINT) div 1024), -9007199254740992))

-- cast(d2 as string)
concat(CASE WHEN CAST(`d2` AS DECIMAL(18, 5)) < 0 THEN '-' ELSE '' END, CAST(floor(abs(CAST(`d2` AS DECIMAL(18, 5)))) AS STRING), '.', lpad(CAST(CAST((abs(CAST(`d2` AS DECIMAL(18, 5))) - floor(abs(CAST(`d2` AS DECIMAL(18, 5))))) * 100000 AS BIGINT) AS STRING), 5, '0'))

-- cast(t1 as string)
date_format(`t1`, 'yyyy-MM-dd\'T\'HH:mm:ss.SSSSSS\'Z\'')

-- concat(s1, null, 'x') || lower(s2)
(concat_ws('', `s1`, CAST(NULL AS STRING), 'x') || translate(`s2`, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'))

-- substr(s1, i1, 3)
substring(`s1`, CAST(CASE WHEN CAST(CASE WHEN `i1` < -1000000000 THEN -1000000000 WHEN `i1` > 1000000000 THEN 1000000000 ELSE `i1` END AS BIGINT) < 1 THEN 1 WHEN CAST(CASE WHEN `i1` < -1000000000 THEN -1000000000 WHEN `i1` > 1000000000 THEN 1000000000 ELSE `i1` END AS BIGINT) > 1000000000 THEN 1000000000 ELSE CAST(CASE WHEN `i1` < -1000000000 THEN -1000000000 WHEN `i1` > 1000000000 THEN 1000000000 ELSE `i1` END AS BIGINT) END AS INT), CAST(transform(array((CAST(CASE WHEN CAST(3 AS BIGINT) < 0 THEN 0 WHEN CAST(3 AS BIGINT) > 1000000000 THEN 1000000000 ELSE CAST(3 AS BIGINT) END AS BIGINT) + CASE WHEN CAST(CASE WHEN `i1` < -1000000000 THEN -1000000000 WHEN `i1` > 1000000000 THEN 1000000000 ELSE `i1` END AS BIGINT) < 1 THEN CAST(CASE WHEN `i1` < -1000000000 THEN -1000000000 WHEN `i1` > 1000000000 THEN 1000000000 ELSE `i1` END AS BIGINT) - 1 ELSE 0 END)), _v1 -> CASE WHEN _v1 < 0 THEN 0 ELSE _v1 END)[0] AS INT))

-- trim(s1) = rtrim(s2) or contains(s1, s2) or ends_with(s1, 'z') or strpos(s1, s2) > 0
((((trim(BOTH ' ' FROM `s1`) = trim(TRAILING ' ' FROM `s2`)) OR contains(`s1`, `s2`)) OR endswith(`s1`, 'z')) OR (CAST(instr(`s1`, `s2`) AS BIGINT) > CAST(0 AS BIGINT)))

-- hour(t1, 'Europe/Amsterdam') + dow(t1) + isodow(a1) + second(t2)
try_cast(CAST(try_cast(CAST(try_cast(CAST(CAST(floor(extract(HOUR FROM from_utc_timestamp(`t1`, 'Europe/Amsterdam'))) AS BIGINT) AS DECIMAL(38, 0)) + CAST((CAST(floor(extract(DOW FROM `t1`)) AS BIGINT) - 1) AS DECIMAL(38, 0)) AS BIGINT) AS DECIMAL(38, 0)) + CAST(CAST(floor(extract(DOW_ISO FROM timestamp_micros(nullif((try_cast(CAST(CAST(CAST(datediff(`a1`, DATE '1970-01-01') AS BIGINT) AS DECIMAL(38, 0)) * 86400000000 AS DECIMAL(38, 0)) * 1024 AS BIGINT) div 1024), -9007199254740992)))) AS BIGINT) AS DECIMAL(38, 0)) AS BIGINT) AS DECIMAL(38, 0)) + CAST(CAST(floor(extract(SECOND FROM `t2`)) AS BIGINT) AS DECIMAL(38, 0)) AS BIGINT)

-- date_diff('week', t1, a1) + date_diff('minute', t1, t2)
try_cast(CAST((transform(array(timestamp_micros(nullif((try_cast(CAST(CAST(CAST(datediff(`a1`, DATE '1970-01-01') AS BIGINT) AS DECIMAL(38, 0)) * 86400000000 AS DECIMAL(38, 0)) * 1024 AS BIGINT) div 1024), -9007199254740992))), _v1 -> ((unix_micros(date_trunc('WEEK', _v1)) + 259200000000) div 604800000000))[0] - ((unix_micros(date_trunc('WEEK', `t1`)) + 259200000000) div 604800000000)) AS DECIMAL(38, 0)) + CAST((CAST(((unix_micros(`t2`) - ((unix_micros(`t2`) % 60000000) + 60000000) % 60000000) div 60000000) AS BIGINT) - CAST(((unix_micros(`t1`) - ((unix_micros(`t1`) % 60000000) + 60000000) % 60000000) div 60000000) AS BIGINT)) AS DECIMAL(38, 0)) AS BIGINT)

-- date_trunc('month', t1) + duration('90m')
timestamp_micros(nullif((try_cast(CAST((unix_micros(timestamp_micros(nullif((try_cast(CAST(unix_micros(date_trunc('MONTH', `t1`)) AS DECIMAL(38, 0)) * 1024 AS BIGINT) div 1024), -9007199254740992))) + (5400000000)) AS DECIMAL(38, 0)) * 1024 AS BIGINT) div 1024), -9007199254740992))

-- t1 - timestamp '2024-03-10T02:30:00Z'
(CAST(unix_micros(`t1`) - unix_micros(TIMESTAMP '2024-03-10T02:30:00Z') AS DOUBLE) / 1e6)

-- a1 - a2
CAST(datediff(`a1`, `a2`) AS BIGINT)

-- greatest(i1, i2, null) is distinct from nullif(i1, 0)
(greatest(`i1`, `i2`, CAST(NULL AS BIGINT)) IS DISTINCT FROM (CASE WHEN `i1` = CAST(0 AS BIGINT) THEN NULL ELSE `i1` END))
