import { Hono } from 'hono'
import { type Guard } from '../../src/guard/index.ts'
/** The desk as a fetch-style app, with tickets of its own in memory. */
export declare const createTicketDesk: (
  guard: Guard,
) => Hono<import('hono/types').BlankEnv, import('hono/types').BlankSchema, '/'>
