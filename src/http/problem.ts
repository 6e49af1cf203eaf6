/** What went wrong, as `application/problem+json` (RFC 9457) with the codes of the command line. */
import { CATALOGUE } from '../core/base/catalogue.js';
import { MillraceError } from '../core/base/error.js';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

export interface Problem {
  /** `urn:millrace:error:CODE`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly hint?: string;
  readonly place?: MillraceError['place'];
  readonly diagnostics?: MillraceError['diagnostics'];
  readonly data?: MillraceError['data'];
}

/** Seconds after which a retry makes sense. */
export const RETRY_AFTER = '1';

/** What the HTTP layer itself refuses, where no catalogue status fits. */
export interface Refusal {
  readonly status: number;
  readonly error: MillraceError;
}

const refusal = (status: number, error: MillraceError): Refusal => ({ status, error });

interface FrameworkError {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message: string;
}

/** Faults of a client as the framework names them; everything else it throws is a fault of ours. */
function fromFramework(error: FrameworkError, maxBody: number): Refusal | undefined {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return refusal(
        413,
        new MillraceError(
          'PAYLOAD_TOO_LARGE',
          `the request body has more than ${maxBody} bytes, the most that this server accepts`,
          {
            hint: 'Send it in parts, or records by `millrace ingest`; `millrace serve --max-body` raises the limit.',
          },
        ),
      );
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return refusal(
        415,
        new MillraceError('REQUEST_INVALID', 'the content type of the body is not one this route reads', {
          hint: 'Send application/json; records may also come as application/x-ndjson.',
        }),
      );
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return refusal(
        400,
        new MillraceError('REQUEST_INVALID', 'the body is empty', { hint: 'Send a JSON object.' }),
      );
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return refusal(
        400,
        new MillraceError('REQUEST_INVALID', 'the body is not as long as Content-Length says'),
      );
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_ASYNC_CONSTRAINT':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return refusal(400, new MillraceError('REQUEST_INVALID', 'the URL cannot be read'));
    default:
      return error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
        ? refusal(error.statusCode, new MillraceError('REQUEST_INVALID', error.message))
        : undefined;
  }
}

/**
 * Any thrown thing as a status and an error to show, by a server that reads bodies up to `maxBody` bytes. The text of an
 * unexpected error stays in the server's log.
 */
export function refusalOf(caught: unknown, maxBody: number): Refusal {
  if (caught instanceof MillraceError) return refusal(caught.status, caught);
  const known = fromFramework(caught as FrameworkError, maxBody);
  return (
    known ??
    refusal(
      500,
      new MillraceError('INTERNAL', 'the server failed to answer', {
        cause: caught,
        hint: 'The server’s log says more.',
      }),
    )
  );
}

export function problemOf({ status, error }: Refusal): Problem {
  return {
    type: `urn:millrace:error:${error.code}`,
    title: CATALOGUE[error.code].title,
    status,
    detail: error.message,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.place === undefined ? {} : { place: error.place }),
    ...(error.diagnostics.length === 0 ? {} : { diagnostics: error.diagnostics }),
    ...(error.data === undefined ? {} : { data: error.data }),
  };
}
