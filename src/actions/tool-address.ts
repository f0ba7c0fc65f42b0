// Where a tool may be: the address that a connection to it goes to is looked at first, and is the one that was looked at
// (S21). Whoever calls a tool, through the proxy or its admin API, looks up its name here and nowhere else.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP } from 'node:net'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Where no tool is: this host's wildcard, link-local (a cloud's metadata among it), multicast and broadcast. */
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

/** Whether a call by this protocol (`https:`) may go to that IP address: plain http stays on this machine. */
export function mayCall(protocol: string, address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  const kind = family === 6 ? 'ipv6' : 'ipv4'
  if (protocol === 'http:') return LOOPBACK.check(address, kind)
  return protocol === 'https:' && !NOWHERE.check(address, kind)
}

type LookedUp = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void

/**
 * For a request's `lookup`: the addresses of a name that may be called, to the very connection that asks, so that no second
 * look-up can differ. None is `EADDRNOTAVAIL`.
 */
export const lookUpFor =
  (protocol: string) =>
  (name: string, options: LookupOptions, done: LookedUp): void =>
    lookup(name, { ...options, all: true }, (error, found) => {
      const addresses = error === null ? found.filter(({ address }) => mayCall(protocol, address)) : []
      const [first] = addresses
      if (first === undefined) done(error ?? notAvailable(name), [])
      else if (options.all === true) done(null, addresses)
      else done(null, first.address, first.family)
    })

const notAvailable = (name: string) =>
  Object.assign(new Error(`${name} is at no address that a tool may have`), { code: 'EADDRNOTAVAIL' })
