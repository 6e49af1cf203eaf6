/**
 * The routes asked most, past the framework: its own reading of the body and writing of the answer take half the
 * time. Checks, answers and problems are those of the route; what is unusual in a request is left to the framework.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MillraceError } from '../core/base/error.js';
import { answerFeatures } from '../services/serve.js';
import { encodeFeatures } from './answers.js';
import { entityBody } from './bodies.js';
import type { Context, Limits } from './context.js';
import { JSON_TYPE, LINE_TYPES, readJson, readLines } from './json.js';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER, type Refusal } from './problem.js';
import { admitPush, answerPush } from './push.js';

const PREFIX = '/v1/features/';
const PLAIN_NAMES = /^[\w,.-]+$/;
const PUSH = /^\/v1\/sources\/([\w.-]+)\/records$/;
const LINES = new Set(LINE_TYPES);
const JSON_HEADERS = { 'content-type': JSON_TYPE };

export interface Direct {
  /** Counts and times the request until its response ends. */
  follow(response: ServerResponse): void;
  refuse(caught: unknown): Refusal;
}

const end = (
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): void => {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text);
};

const refused = (response: ServerResponse, refusal: Refusal): void => {
  const headers = {
    'content-type': PROBLEM_TYPE,
    ...(refusal.error.retryable ? { 'retry-after': RETRY_AFTER } : {}),
  };
  end(response, refusal.status, headers, JSON.stringify(problemOf(refusal)));
};

/** The whole body; of a client that goes away in the middle, nothing. */
function whole(request: IncomingMessage, take: (body: Buffer) => void): void {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => take(parts.length === 1 ? parts[0]! : Buffer.concat(parts)));
  request.on('error', () => undefined);
}

/** Answers the request and says so, or leaves it alone: false. */
type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

const plainLength = ({ headers }: IncomingMessage, { body }: Limits): number | undefined => {
  const length = Number(headers['content-length'] ?? Number.NaN);
  return headers['expect'] === undefined && length > 0 && length <= body ? length : undefined;
};

export function directFeatures(
  { readers, project, inFlight, limits }: Context,
  { follow, refuse }: Direct,
): Handler {
  return (request, response) => {
    const { url, headers } = request;
    if (request.method !== 'POST' || url === undefined || !url.startsWith(PREFIX)) return false;
    const reader = readers.get(url.slice(PREFIX.length));
    if (reader === undefined || !PLAIN_NAMES.test(url.slice(PREFIX.length))) return false;
    if (headers['content-type'] !== 'application/json' || plainLength(request, limits) === undefined)
      return false;
    follow(response);
    if (inFlight.requests > limits.requests) {
      request.resume();
      refused(
        response,
        refuse(new MillraceError('OVERLOADED', `${inFlight.requests} requests are under way`)),
      );
      return true;
    }
    whole(request, (bytes) => {
      try {
        const body = entityBody(readJson(bytes));
        end(response, 200, JSON_HEADERS, encodeFeatures(answerFeatures(reader, body, project.now())));
      } catch (caught) {
        refused(response, refuse(caught));
      }
    });
    return true;
  };
}

export function directPush(context: Context, { follow, refuse }: Direct): Handler {
  const { inFlight, limits } = context;
  return (request, response) => {
    const { url, headers } = request;
    if (request.method !== 'POST' || url === undefined) return false;
    const name = PUSH.exec(url)?.[1];
    const type = headers['content-type'];
    const length = plainLength(request, limits);
    if (name === undefined || type === undefined || length === undefined) return false;
    const read = type === 'application/json' ? readJson : LINES.has(type) ? readLines : undefined;
    if (read === undefined) return false;
    follow(response);
    try {
      if (inFlight.requests > limits.requests)
        throw new MillraceError('OVERLOADED', `${inFlight.requests} requests are under way`);
      admitPush(context, response, length);
    } catch (caught) {
      request.resume();
      refused(response, refuse(caught));
      return true;
    }
    whole(request, (bytes) => {
      const failed = (caught: unknown): void => refused(response, refuse(caught));
      try {
        answerPush(context, name, read(bytes)).then((text) => end(response, 200, JSON_HEADERS, text), failed);
      } catch (caught) {
        failed(caught);
      }
    });
    return true;
  };
}
