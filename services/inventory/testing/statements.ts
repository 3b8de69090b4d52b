import type { Database, Statement } from "bun:sqlite";

/** What is asked of a database from now on, statement by statement. */
export class StatementLog {
  readonly #sql: Database;
  #ran: string[] = [];

  /** Watches every statement that is prepared from now on. */
  constructor(sql: Database) {
    this.#sql = sql;
    const prepare = sql.prepare.bind(sql);
    sql.prepare = ((text: string) => this.#watched(text, prepare(text))) as typeof sql.prepare;
  }

  /** The statements that ran since it was last asked. */
  take(): string[] {
    const ran = this.#ran;
    this.#ran = [];
    return ran;
  }

  /** How SQLite goes about a statement: https://www.sqlite.org/eqp.html */
  plan(text: string): string[] {
    const rows = this.#sql.query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${text}`).all();
    return rows.map(({ detail }) => detail);
  }

  #watched(text: string, statement: Statement): Statement {
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
