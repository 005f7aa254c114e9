// A service: it listens on $PORT, answers its readiness path, and ends when it is told to. It knows nothing of croupier.
import { createServer } from "node:http";

const { PORT, GREETING = "hello", FAIL_RATIO = "0" } = process.env;

const server = createServer((request, response) => {
  if (request.url === "/ready") {
    response.end("ready\n");
  } else if (Math.random() < Number(FAIL_RATIO)) {
    response.writeHead(500).end("broken\n");
  } else {
    response.end(`${GREETING}, ${request.headers["x-player"] ?? "stranger"}\n`);
  }
});

server.listen(Number(PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close());
