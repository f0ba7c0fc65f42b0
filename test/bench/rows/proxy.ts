// Calls through the proxy, beside nginx proxying to the same page of the same nginx.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startInBackground } from '../../tools/background.ts'
import { installedTools } from '../../tools/installed-tools.ts'
import { type BenchBroker, startBenchBroker } from '../broker.ts'
import { httpRequest } from '../load.ts'
import { pinned, serverOf } from '../processes.ts'
import { type Compared, compare, type Pace } from '../rounds.ts'

const PAGE = 'x'.repeat(1024)

const configuration = (pagePort: number, proxyPort: number) => `daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  keepalive_requests 100000000;
  upstream page { server 127.0.0.1:${pagePort}; keepalive 64; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${pagePort}; location / { default_type text/plain; return 200 "${PAGE}"; } }
  server {
    listen 127.0.0.1:${proxyPort};
    location / { proxy_pass http://page; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`

export async function proxiedCall(broker: BenchBroker, pace: Pace): Promise<readonly Compared[]> {
  const { nginx } = installedTools({ nginx: 'nginx' })
  const folder = join(broker.folder, 'nginx')
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  const proxyPort = await freePort()
  writeFileSync(join(folder, 'nginx.conf'), configuration(broker.upstreamPort, proxyPort))
  const [file, args] = pinned(nginx, ['-p', `${folder}/`, '-c', 'nginx.conf', '-e', 'stderr'])
  const background = await startInBackground(file, args, {
    cwd: folder,
    ready: async () => (await fetch(`http://127.0.0.1:${proxyPort}/page`)).ok,
  })
  // Its worker does the work, and is a process of its own: what it used of the CPU is not known here.
  const server = { ...serverOf(background, proxyPort), cpuSeconds: () => null }
  const plain = [httpRequest('GET', '/page', {})]
  const marker = PAGE
  const lighter = await Promise.all([
    startBenchBroker(64, 'unsynced', broker.upstreamPort),
    startBenchBroker(64, 'none', broker.upstreamPort),
  ])
  const through = async (name: string, one: BenchBroker) => ({
    name,
    server: one.server,
    aim: { port: one.port, requests: await callsOf(one), marker },
  })
  try {
    return await compare(
      [
        await through('through Hallpass', broker),
        await through('the same, no fsync', lighter[0]),
        await through('the same, no trail', lighter[1]),
        { name: 'through nginx', server, aim: { port: proxyPort, requests: plain, marker } },
        { name: 'the page itself', server, aim: { port: broker.upstreamPort, requests: plain, marker } },
      ],
      pace,
    )
  } finally {
    for (const one of lighter) await one.close()
    await background.stop()
  }
}

async function callsOf(broker: BenchBroker): Promise<Buffer[]> {
  const tokens = await Promise.all(broker.agents.map((agent) => broker.mint(agent, 'proxied')))
  return tokens.map((token) => httpRequest('GET', '/tools/proxied/page', { authorization: `Bearer ${token}` }))
}
