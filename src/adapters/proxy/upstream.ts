// Connections to tools: to the accepted origin and nowhere else, by an address that was looked at first (S21). It follows
// no redirect, keeps connections for the next call, and tries again only what surely was not read.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { BlockList, isIP } from 'node:net'
import { HTTP, PROXY } from '../../core/limits.ts'

/** Where no tool is: a cloud's own metadata service lies at 169.254.169.254. */
const NOWHERE = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  NOWHERE.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
] as const)
  NOWHERE.addSubnet(net, bits, 'ipv6')

const isNowhere = ({ address, family }: LookupAddress): boolean =>
  NOWHERE.check(address, family === 6 ? 'ipv6' : 'ipv4')

type Looked = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void

/** The addresses that are connected to are those that were looked at. */
function lookUp(name: string, options: LookupOptions, done: Looked): void {
  lookup(name, { ...options, all: true }, (error, found) => {
    const addresses = error === null ? found.filter((one) => !isNowhere(one)) : []
    const [first] = addresses
    if (first === undefined)
      done(error ?? Object.assign(new Error(`${name} is at no address that a tool may have`), { code: 'ENOWHERE' }), [])
    else if (options.all === true) done(null, addresses)
    else done(null, first.address, first.family)
  })
}

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
      const family = isIP(address)
      if (family !== 0 && isNowhere({ address, family })) throw new Error(`no tool is at ${address}`)
      const asked: RequestOptions = {
        hostname: address,
        port,
        method,
        path: (pathname === '/' ? '' : pathname) + path,
        headers: ['Host', host, ...headers],
        setHost: false,
        lookup: lookUp,
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
