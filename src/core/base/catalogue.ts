/** One row per error: exit status of the CLI, HTTP status, whether a retry may help, the standing remedy. */
export interface CatalogueRow {
  readonly exit: number;
  readonly status: number;
  readonly retryable: boolean;
  /** What the code means, for the generated reference. */
  readonly title: string;
  readonly hint?: string;
}

const row = (
  exit: number,
  status: number,
  title: string,
  hint?: string,
  retryable = false,
): CatalogueRow => ({
  exit,
  status,
  retryable,
  title,
  ...(hint === undefined ? {} : { hint }),
});

/** Every error: exit status, HTTP status, what it means. One row a code. */
export const CATALOGUE = {
  // definitions and usage: exit 2
  DEF_SYNTAX: row(2, 422, 'A definition file is not valid YAML or cannot be loaded'),
  DEF_UNKNOWN_KEY: row(2, 422, 'A definition has a key that does not exist'),
  DEF_MISSING_KEY: row(2, 422, 'A definition lacks a key it must have'),
  DEF_INVALID_VALUE: row(2, 422, 'A key has a value of the wrong type or form'),
  DEF_UNKNOWN_NAME: row(2, 422, 'A definition names something that is not defined'),
  DEF_DUPLICATE_NAME: row(2, 422, 'Two definitions of one kind have the same name'),
  DEF_CYCLE: row(2, 422, 'Definitions depend on each other in a circle'),
  DEF_TYPE: row(2, 422, 'Types do not fit'),
  DEF_EXPRESSION: row(2, 422, 'An expression cannot be read'),
  DEF_INVALID: row(2, 422, 'The definitions have errors', 'Run `millrace check` to see all of them.'),
  PROJECT_NOT_FOUND: row(
    2,
    404,
    'There is no project here',
    'Run `millrace init DIR` or pass --project DIR.',
  ),
  USAGE: row(2, 400, 'The command line or request is not understood', 'See `millrace --help`.'),
  UNKNOWN_NAME: row(2, 404, 'There is nothing with this name'),
  REQUEST_INVALID: row(2, 400, 'A request body is not what the route expects'),
  ENTITY_KEY_INVALID: row(2, 400, 'An entity key is missing or has the wrong type'),
  // the world: exit 1
  FILE_NOT_FOUND: row(
    1,
    404,
    'A file is not there',
    "Check the path: of a command it is relative to where you stand, in definitions to the project's folder.",
  ),
  FILE_EMPTY: row(1, 422, 'A file has no bytes', 'Write the file again, with a header and rows.'),
  FILE_UNREADABLE: row(
    1,
    422,
    'A file cannot be read in its format',
    'Look at the file at the place named, mend it and run the command again.',
  ),
  FILE_TORN: row(
    1,
    422,
    'A compressed file ends too early or is damaged',
    'Fetch the file again; nothing was ingested.',
  ),
  FILE_DELIMITER: row(1, 422, 'A delimited file does not split into the expected columns'),
  FILE_ENCODING: row(1, 422, 'A file is not in the declared encoding'),
  FORMAT_UNKNOWN: row(2, 422, 'A file name does not tell a known format'),
  SOURCE_UNREACHABLE: row(
    75,
    503,
    'A system that a source reads from does not answer',
    'See that it runs and can be reached from here, then run the command again; nothing was lost.',
    true,
  ),
  SOURCE_REFUSED: row(1, 422, 'A system that a source reads from refuses what it is asked'),
  DISK_FULL: row(
    1,
    507,
    'There is no space left',
    'Free some space and run the command again; the log is as it was before.',
  ),
  PERMISSION_DENIED: row(
    1,
    500,
    'The system refuses access',
    'Give this user the right to the path named, or choose another path.',
  ),
  STORE_CORRUPT: row(1, 500, 'A file of the project state is damaged'),
  STORE_LOCKED: row(
    75,
    503,
    'Another process is working on this project',
    'Wait for it, or stop it, and try again.',
    true,
  ),
  PORT_IN_USE: row(1, 500, 'The port is taken', 'Choose another with --port.'),
  OVERLOADED: row(75, 429, 'The server has more work than it can take', 'Wait and send again.', true),
  PAYLOAD_TOO_LARGE: row(
    1,
    413,
    'The request body is larger than the server accepts',
    'Send it in smaller batches.',
  ),
  METHOD_NOT_ALLOWED: row(
    1,
    405,
    'The route does not take this method',
    'The Allow header names the methods it takes.',
  ),
  NOT_MATERIALIZED: row(
    75,
    503,
    'The online store has not been built for this',
    'Run `millrace materialize`.',
    true,
  ),
  NOT_READY: row(75, 503, 'The server is not ready', undefined, true),
  DATA_NOT_AVAILABLE: row(
    75,
    503,
    'A source does not have what it promises to those who depend on it',
    'Wait for it and try again; `--ignore-availability` goes on without, and the manifest says so.',
    true,
  ),
  MODEL_MISSING: row(1, 409, 'There is no trained model to use', 'Run `millrace train MODEL`.'),
  DATASET_EMPTY: row(1, 409, 'The training set has too few rows'),
  TRAIN_FAILED: row(1, 500, 'Training failed'),
  EVALUATION: row(1, 422, 'An expression failed on a row'),
  SCORING_FAILED: row(
    1,
    503,
    'The command that scores a model did not answer as it must',
    'Look at the log that is named; the command is started again when it is asked next.',
    true,
  ),
  STEP_TIMEOUT: row(
    1,
    504,
    'A step of a run took longer than it may',
    'See what it was doing: `millrace runs logs RUN`; then `millrace runs retry RUN`.',
    true,
  ),
  LEASE_LOST: row(
    75,
    503,
    'Another process has taken a step over',
    'Nothing was published twice; see `millrace runs show`.',
  ),
  PLAN_MOVED: row(
    2,
    409,
    'The world has moved since the plan was saved',
    'Make the plan again: `millrace plan --out FILE`.',
  ),
  RUN_NOT_APPROVED: row(
    3,
    409,
    'The policy asks before such a run',
    'Look at `millrace plan`, then run again with --yes.',
  ),
  INTERRUPTED: row(
    130,
    503,
    'The work was interrupted',
    'Run the command again; it goes on from what was finished.',
    true,
  ),
  INTERNAL: row(1, 500, 'A fault of millrace', 'Please report it with the command and the log.'),
  // gates: exit 3
  BATCH_REFUSED: row(
    3,
    422,
    'A batch broke its contract and was refused whole',
    'Nothing was appended. Mend the file or the contract and ingest again.',
  ),
  LEAKAGE: row(3, 409, 'A feature would see the future'),
  PARITY: row(3, 409, 'Offline and online values differ'),
  PROMOTION_REFUSED: row(3, 409, 'A model did not pass its promotion gate'),
  CONTRACT_CHANGED: row(3, 409, 'A contract changed more than it may'),
  DRIFT: row(3, 409, 'A monitor raised an alert'),
  DATASET_REJECTED: row(3, 409, 'A new version of a dataset is not what its checks say'),
  EXPORT_STALE: row(
    3,
    409,
    'An exported file is not what the project would export now',
    'Run the same `millrace export` without --check.',
  ),
} as const satisfies Record<string, CatalogueRow>;

/** The codes of [Errors](errors.md). */
export type ErrorCode = keyof typeof CATALOGUE;
