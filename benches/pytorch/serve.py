"""The service of `ijepa serve` written with FastAPI and PyTorch, to load beside it.

    pip install fastapi uvicorn python-multipart torch torchvision
    python benches/pytorch/serve.py --arch vit_s16 --port 8081

The same sizes (random weights cost the same), preprocessing (short side to 256, centre 224) and
batching (32 images, 4 ms) as ours; compare both with the same client, one after the other:

    ijepa serve --arch vit_s16 --encoder random --address 127.0.0.1:8080
    python benches/pytorch/serve.py --client 8080 --image photo.jpg --clients 64 --seconds 20
"""

import argparse
import asyncio
import http.client
import io
import statistics
import threading
import time


def service(args):
    import torch
    import uvicorn
    from fastapi import FastAPI, Request
    from PIL import Image
    from torchvision import transforms

    from step import ARCHS, Encoder

    torch.set_num_threads(args.threads)
    dim, depth, heads, patch, *_ = ARCHS[args.arch]
    encoder = Encoder(224, patch, dim, depth, heads).eval()
    prepare = transforms.Compose([
        transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    app, queue = FastAPI(), asyncio.Queue()

    def embed(images):
        bf16 = args.precision == "bf16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return encoder(torch.stack(images)).mean(1).float().tolist()

    async def batches():
        while True:
            batch = [await queue.get()]
            until = time.monotonic() + 0.004
            while len(batch) < 32:
                try:
                    batch.append(await asyncio.wait_for(queue.get(), until - time.monotonic()))
                except asyncio.TimeoutError:
                    break
            rows = await asyncio.to_thread(embed, [image for image, _ in batch])
            for (_, reply), row in zip(batch, rows):
                reply.set_result(row)

    @app.on_event("startup")
    async def start():
        app.state.task = asyncio.create_task(batches())

    @app.post("/embed")
    async def answer(request: Request):
        body = await request.body()
        image = await asyncio.to_thread(lambda: prepare(Image.open(io.BytesIO(body)).convert("RGB")))
        reply = asyncio.get_running_loop().create_future()
        await queue.put((image, reply))
        return {"model": args.arch, "dim": dim, "embeddings": [await reply]}

    uvicorn.run(app, port=args.port, log_level="warning")


def client(args):
    body = open(args.image, "rb").read()
    seconds, failed = [], []
    end = time.monotonic() + args.seconds

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", args.client)
        while time.monotonic() < end:
            began = time.monotonic()
            connection.request("POST", "/embed", body)
            answer = connection.getresponse()
            answer.read()
            (seconds if answer.status == 200 else failed).append(time.monotonic() - began)

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(seconds, n=100)
    print(
        f"{len(seconds) / (time.monotonic() - began):.1f} requests/s, {len(failed)} failed, "
        f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", default="vit_s16")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--client", type=int, metavar="PORT", help="ask the service at this port instead of being one")
    parser.add_argument("--image")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    client(args) if args.client else service(args)


if __name__ == "__main__":
    main()
