// Calls of tools through the broker, measured: how they ended, how long they took, what was refused. A tool is named only once its
// call was admitted, so that no caller makes a label.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { CallMeter } from '../../actions/call-meter.ts'

/** An answer as bad as 200 with an error inside is for the tool's own metrics. */
const classOf = (status: number | null) => (status === null ? 'none' : `${Math.floor(status / 100)}xx`)

export function createCallMeter(registry: Registry): CallMeter {
  const registers = [registry]
  const calls = new Counter({
    name: 'hallpass_proxied_calls_total',
    help: 'Calls through the proxy, and of tools of MCP servers, that were let through, by tool, class of status and end.',
    labelNames: ['tool', 'status', 'ended'],
    registers,
  })
  const refusals = new Counter({
    name: 'hallpass_proxied_calls_refused_total',
    help: 'Calls through the proxy that no tool heard of, by problem code.',
    labelNames: ['code'],
    registers,
  })
  const underWay = new Gauge({
    name: 'hallpass_proxied_calls_under_way',
    help: 'Calls through the proxy that are under way.',
    registers,
  })
  const seconds = new Histogram({
    name: 'hallpass_proxied_call_seconds',
    help: 'From asking the tool to the last byte of its answer.',
    labelNames: ['tool'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300],
    registers,
  })
  const admission = new Histogram({
    name: 'hallpass_proxied_call_admission_seconds',
    help: 'From reading a call to its record being durable.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5],
    registers,
  })
  return {
    admitted(tool, milliseconds) {
      admission.observe(milliseconds / 1000)
      underWay.inc()
      return ({ status, ended, afterMilliseconds }) => {
        underWay.dec()
        calls.inc({ tool, status: classOf(status), ended })
        seconds.observe({ tool }, afterMilliseconds / 1000)
      }
    },
    refused: (code) => refusals.inc({ code }),
  }
}
