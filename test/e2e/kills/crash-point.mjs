/**
 * Preloaded (`--import`) into a process of the command line: counts what its main thread writes to files and to SQLite,
 * notes each write in the file MILLRACE_TRACE, and ends the process with SIGKILL at the write MILLRACE_KILL_AT says:
 * "17" before the 17th, "17/half" when half of its bytes are written, "17+40" 40 ms after it.
 * MILLRACE_AHEAD: seconds that the clock of the process is ahead.
 */
import fs from 'node:fs';
import { register, syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const trace = process.env.MILLRACE_TRACE;
const [, at, , half, , delay] =
  /^(\d+)((\/half)|(\+(\d+)))?$/.exec(process.env.MILLRACE_KILL_AT ?? '0') ?? [];
const ahead = Number(process.env.MILLRACE_AHEAD ?? 0) * 1000;
if (ahead !== 0) {
  const now = Date.now;
  Date.now = () => now() + ahead;
}

if (isMainThread) {
  const { appendFileSync, writeSync } = fs;
  let count = 0;
  let inside = false;
  const die = () => process.kill(process.pid, 'SIGKILL');

  /** @param part writes the first half of what the call would write. */
  const point = (label, part) => {
    count++;
    if (trace) {
      inside = true;
      appendFileSync(trace, `${label}\n`);
      inside = false;
    }
    if (count !== Number(at)) return;
    if (delay !== undefined) setTimeout(die, Number(delay));
    else {
      if (half) part?.();
      die();
    }
  };

  /** Names without what differs from run to run. */
  const short = (file) =>
    typeof file === 'string' || file instanceof URL
      ? basename(String(file))
          .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'UUID')
          .replace(/[0-9a-f]{16,64}/g, 'HASH')
          .replace(/\d+/g, 'N')
      : '';
  const bytesOf = (data) => (typeof data === 'string' ? Buffer.from(data) : data);
  const wrap = (target, name, label, partOf) => {
    const own = target[name];
    target[name] = function (...args) {
      if (!inside) point(`${name} ${label(args)}`, partOf?.(this, args));
      return own.apply(this, args);
    };
  };
  const path = ([file]) => short(file);
  const target = ([, file]) => short(file);
  const firstHalf =
    (_, [file, data]) =>
    () => {
      const bytes = bytesOf(data);
      if (typeof file === 'number') writeSync(file, bytes, 0, bytes.length >> 1);
      else if (ArrayBuffer.isView(bytes)) {
        const fd = fs.openSync(file, 'w');
        writeSync(fd, bytes, 0, bytes.length >> 1);
      }
    };

  for (const of of ['rm', 'unlink', 'mkdir', 'truncate', 'rename', 'link', 'copyFile']) {
    const label = ['rename', 'link', 'copyFile'].includes(of) ? target : path;
    wrap(fs, `${of}Sync`, label);
    wrap(fs.promises, of, label);
  }
  for (const of of ['writeFileSync', 'appendFileSync']) wrap(fs, of, path, firstHalf);
  wrap(fs.promises, 'writeFile', path, firstHalf);
  wrap(fs.promises, 'appendFile', path);
  for (const of of ['fsyncSync', 'fdatasyncSync', 'ftruncateSync']) wrap(fs, of, () => '');
  const ownWrite = fs.writeSync;
  fs.writeSync = (fd, ...args) => {
    if (fd > 2 && !inside) point('writeSync', firstHalf(null, [fd, args[0]]));
    return ownWrite(fd, ...args);
  };
  const handle = await fs.promises.open(process.execPath);
  const handles = Object.getPrototypeOf(handle);
  await handle.close();
  for (const of of ['write', 'writev', 'writeFile', 'appendFile', 'sync', 'datasync'])
    wrap(handles, of, () => 'handle');
  syncBuiltinESMExports();

  globalThis.__crashPoint = point;
  register('./sqlite-hook.mjs', import.meta.url);
}
