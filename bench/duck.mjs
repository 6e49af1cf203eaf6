// Statements in a fresh in-memory DuckDB with two threads: node bench/duck.mjs '["sql", ...]'; rows of the last as JSON.
import { DuckDBInstance } from '@duckdb/node-api';

const statements = JSON.parse(process.argv[2]);
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const connection = await instance.connect();
await connection.run("SET TimeZone = 'UTC'");
let rows = [];
for (const sql of statements) rows = (await connection.runAndReadAll(sql)).getRowObjectsJson();
process.stdout.write(`${JSON.stringify(rows)}\n`);
