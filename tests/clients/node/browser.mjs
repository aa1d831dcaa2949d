// A headless Chromium and a page of ours in it. What is behind this in the program finds `page`, and
// ends with `browser.close()`.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import chromium, { inflate, setupLambdaEnvironment } from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const { CUELINE_URL: url, PAGE: source = "", HOST: host = "localhost", TMPDIR: unpacked } = process.env;
const shown = createServer((_, answer) => {
    answer.setHeader("content-type", "text/html").end(`<!doctype html><title>A page</title>${source}`);
});
await new Promise((resolve) => shown.listen(0, "127.0.0.1", resolve));

// It brings the libraries along that a bare machine lacks.
await inflate(join("node_modules/@sparticuz/chromium/bin", "al2023.tar.br"));
setupLambdaEnvironment(join(unpacked, "al2023/lib"));
const executablePath = process.env.CHROME || (await chromium.executablePath());
const browser = await puppeteer.launch({ executablePath, headless: "shell", args: ["--no-sandbox"] });
process.on("exit", () => browser.process()?.kill("SIGKILL"));
const page = await browser.newPage();
await page.goto(`http://${host}:${shown.address().port}/`);

async function until(what, ...given) {
    await page.waitForFunction(what, { timeout: 60_000, polling: 20 }, ...given);
}
