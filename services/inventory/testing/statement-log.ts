import type { Database, Statement } from "bun:sqlite";

/** The statements that run on a database. */
export class StatementLog {
  readonly #sql: Database;
  #ran: string[] = [];

  /** Records the statements that are prepared from now on. */
  constructor(sql: Database) {
    this.#sql = sql;
    const prepare = sql.prepare.bind(sql);
    sql.prepare = ((text: string) => this.#recorded(text, prepare(text))) as typeof sql.prepare;
  }

  /** The statements that ran since the last call. */
  take(): string[] {
    const ran = this.#ran;
    this.#ran = [];
    return ran;
  }

  /** SQLite's query plan: https://www.sqlite.org/eqp.html */
  plan(text: string): string[] {
    const rows = this.#sql.query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${text}`).all();
    return rows.map(({ detail }) => detail);
  }

  #recorded(text: string, statement: Statement): Statement {
    return new Proxy(statement, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          if (["run", "get", "all", "values"].includes(String(name))) this.#ran.push(text);
          return Reflect.apply(member, target, args);
        };
      },
    });
  }
}
