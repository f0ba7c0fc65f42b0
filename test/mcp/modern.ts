// One request of 2026-07-28 as a program without an SDK sends it, declaring what it likes.

import { post, type Served } from './support.ts'

const VERSION = '2026-07-28'
export const TASKS = { extensions: { 'io.modelcontextprotocol/tasks': {} } }
export const LINKS = { elicitation: { url: {} } }

export type Rpc = {
  readonly status: number
  readonly result?: { readonly [key: string]: unknown }
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** `name` is how the header says it, where that is not as the body does. */
export async function modern(
  served: Pick<Served, 'url'>,
  token: string,
  method: string,
  params: { readonly [key: string]: unknown },
  capabilities: object = {},
  name = String(params.name ?? params.taskId ?? ''),
): Promise<Rpc> {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': VERSION,
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1.0.0' },
    'io.modelcontextprotocol/clientCapabilities': capabilities,
  }
  const body = { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } }
  const response = await post(served.url, JSON.stringify(body), {
    Authorization: `Bearer ${token}`,
    'mcp-protocol-version': VERSION,
    'mcp-method': method,
    ...(name === '' ? {} : { 'mcp-name': name }),
  })
  const { result, error } = (await response.json()) as Omit<Rpc, 'status'>
  return {
    status: response.status,
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error }),
  }
}
