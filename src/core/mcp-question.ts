// What an upstream MCP server asks of the person behind an agent, as they may be shown it: in whose words it is, with nothing
// in it that cannot be seen, and leading to no page that could be taken for one of ours. What they answer approves nothing here.

import { QUESTION } from './limits.ts'
import { safeText } from './safe-text.ts'

type Fields = { readonly [key: string]: unknown }

export type Question =
  | { readonly mode: 'form'; readonly message: string; readonly requestedSchema: Fields }
  | { readonly mode: 'url'; readonly message: string; readonly url: string }

/** Of MCP elicitation. */
export type Asked = { readonly mode: 'form' | 'url'; readonly params: Fields }

/** Null: it may not be shown. `issuer` is the broker's own origin. */
export function readQuestion(tool: string, { mode, params }: Asked, issuer: string): Question | null {
  const text = typeof params.message === 'string' ? safeText(params.message, QUESTION.message) : ''
  if (text === '') return null
  const message = `The MCP server of ${tool} asks, not Hallpass: ${text}`
  if (mode === 'url') {
    const url = pageOf(params.url, issuer)
    return url === null ? null : { mode, message, url }
  }
  const schema = params.requestedSchema
  if (!isFields(schema) || schema.type !== 'object' || !isFields(schema.properties)) return null
  const json = JSON.stringify(schema)
  if (json.length > QUESTION.schema || !hasPlainKeys(schema)) return null
  return { mode, message, requestedSchema: shown(schema) as Fields }
}

/** What of an answer goes back: of the fields that were asked for, plain values. */
export function answerTo(question: Question, content: unknown): Fields {
  if (question.mode === 'url' || !isFields(content)) return {}
  const asked = question.requestedSchema.properties as Fields
  return Object.fromEntries(
    Object.entries(content).filter(([key, value]) => Object.hasOwn(asked, key) && isPlain(value)),
  )
}

function pageOf(given: unknown, issuer: string): string | null {
  if (typeof given !== 'string' || given.length > QUESTION.url || !URL.canParse(given)) return null
  const { protocol, username, password, origin, href } = new URL(given)
  return protocol === 'https:' && username === '' && password === '' && origin !== new URL(issuer).origin ? href : null
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isPlain = (value: unknown): boolean =>
  ['string', 'number', 'boolean'].includes(typeof value) ||
  (Array.isArray(value) && value.every((one) => typeof one === 'string'))

const hasPlainKeys = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  Object.entries(value).every(([key, item]) => safeText(key) === key && key !== '__proto__' && hasPlainKeys(item))

function shown(value: unknown): unknown {
  if (typeof value === 'string') return safeText(value, QUESTION.message)
  if (Array.isArray(value)) return value.map(shown)
  return isFields(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shown(item)])) : value
}
