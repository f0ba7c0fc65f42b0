// Connections to tools: to the accepted origin and nowhere else, by an address that was looked at first (S21). It follows
// no redirect, keeps connections for the next call, and tries again only what surely was not read.

import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { lookUpFor, mayCall } from '../../actions/tool-address.ts'
import { HTTP, PROXY } from '../../core/limits.ts'

export type Upstreams = {
  /** Nothing is sent before `end` or the first byte written. */
  open(call: {
    readonly base: string
    readonly path: string
    readonly method: string
    /** Names and values by turns; `Host` is added. */
    readonly headers: readonly string[]
  }): ClientRequest
  close(): void
}

export function createUpstreams(idleMs: number = PROXY.idleMs): Upstreams {
  const options = { keepAlive: true, maxSockets: PROXY.socketsPerTool, maxFreeSockets: 32, timeout: idleMs }
  const plain = new HttpAgent(options)
  const secure = new HttpsAgent(options)
  return {
    open({ base, path, method, headers }) {
      const { protocol, hostname, port, host, pathname } = new URL(base)
      const address = hostname.replace(/^\[|\]$/g, '')
      if (isIP(address) !== 0 && !mayCall(protocol, address)) throw new Error(`no tool is at ${address}`)
      const asked: RequestOptions = {
        hostname: address,
        port,
        method,
        path: (pathname === '/' ? '' : pathname) + path,
        headers: ['Host', host, ...headers],
        setHost: false,
        lookup: lookUpFor(protocol),
        maxHeaderSize: HTTP.headerBytes,
        timeout: idleMs,
      }
      return protocol === 'https:'
        ? httpsRequest({ ...asked, agent: secure, servername: address })
        : httpRequest({ ...asked, agent: plain })
    },
    close() {
      plain.destroy()
      secure.destroy()
    },
  }
}
