// MCP as a program without an SDK speaks it, 2025-era, in a session and without.

import { z } from 'zod'

/** A JSON-RPC request as a program without an SDK sends it, 2025-era. */
export const rpc = (method: string, params: object = {}, id = 1) =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params })

export const post = (url: string, body: string, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', ...headers },
    body,
  })

/** A session of 2025 as a program without an SDK opens and uses it. */
export async function openRawSession(url: string, token: string) {
  const init = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }
  const opened = await post(url, rpc('initialize', init), { Authorization: `Bearer ${token}` })
  const id = opened.headers.get('mcp-session-id')
  if (id === null) throw new Error(`no session: ${opened.status} ${await opened.text()}`)
  await opened.text()
  return rawSession(url, token, id)
}

const ANSWER = z.object({ result: z.object({ structuredContent: z.any(), isError: z.boolean().optional() }) })

export function rawSession(url: string, token: string, id: string) {
  const headers = {
    Authorization: `Bearer ${token}`,
    'Mcp-Session-Id': id,
    'MCP-Protocol-Version': '2025-11-25',
    Accept: 'application/json, text/event-stream',
    'Content-Type': 'application/json',
  }
  const session = {
    id,
    token,
    /** The same session, with another token. */
    with: (other: string) => rawSession(url, other, id),
    send: (method: 'GET' | 'DELETE' | 'PUT', more: Record<string, string> = {}) =>
      fetch(url, { method, headers: { ...headers, ...more } }),
    post: (body: string, signal: AbortSignal | null = null, more: Record<string, string> = {}) =>
      fetch(url, { method: 'POST', headers: { ...headers, ...more }, body, signal }),
    async call(name: string, given: object) {
      const text = await (await session.post(rpc('tools/call', { name, arguments: given }))).text()
      return ANSWER.parse(JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? text)).result
    },
  }
  return session
}
