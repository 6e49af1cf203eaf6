/** SQLite whose commits, and statements outside of transactions, are points at which a process can be killed. */
import { DatabaseSync as Actual } from '@photostructure/sqlite';

const point = globalThis.__crashPoint;
const short = (sql) => sql.trim().replace(/\s+/g, ' ').slice(0, 50);

export class DatabaseSync extends Actual {
  #last = '';

  constructor(...args) {
    super(...args);
    const exec = this.exec.bind(this);
    const prepare = this.prepare.bind(this);
    Object.defineProperty(this, 'exec', {
      value: (sql) => {
        if (sql === 'COMMIT') point(`COMMIT ${this.#last}`);
        else if (!/^(BEGIN|PRAGMA|ROLLBACK)/.test(sql) && !this.isTransaction) point(short(sql));
        return exec(sql);
      },
    });
    Object.defineProperty(this, 'prepare', {
      value: (sql, ...rest) => {
        const statement = prepare(sql, ...rest);
        if (/^\s*(SELECT|WITH .* SELECT|PRAGMA)/i.test(sql)) return statement;
        const noted =
          (method) =>
          (...values) => {
            if (this.isTransaction) this.#last = short(sql);
            else point(short(sql));
            return method(...values);
          };
        for (const name of ['run', 'all', 'get'])
          Object.defineProperty(statement, name, { value: noted(statement[name].bind(statement)) });
        return statement;
      },
    });
  }
}
