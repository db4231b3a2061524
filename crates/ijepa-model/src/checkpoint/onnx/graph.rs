//! An encoder as operators of ONNX.

use super::proto::{
    Attribute, AttributeType, Dimension, ElementType, Graph, Node, Shape, Size, Tensor, TensorType,
    Type, ValueInfo,
};
use crate::VisionTransformerConfig;

/// Normalised images, `[batch, channels, height, width]`.
pub(super) const PIXELS: &str = "pixels";
/// Features of the patches, `[batch, patches, embed_dim]`.
pub(super) const TOKENS: &str = "tokens";
/// Their mean, `[batch, embed_dim]`.
pub(super) const POOLED: &str = "pooled";

/// The graph of an encoder without its weights, which are initializers with the official names;
/// weights of linear layers are `[inputs, outputs]`.
pub(super) fn graph(config: &VisionTransformerConfig) -> Graph {
    let mut graph = Builder {
        config,
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    let mut x = graph.patches();
    for block in 0..config.depth {
        x = graph.block(&format!("blocks.{block}"), x);
    }
    graph.norm("norm", &x, TOKENS);
    let over_tokens = [ints("axes", &[1]), int("keepdims", 0)];
    graph.node("ReduceMean", &[TOKENS], POOLED, over_tokens);
    let image = [config.in_chans, config.image_size[0], config.image_size[1]];
    let tokens = [graph.patches_per_image(), config.embed_dim];
    Graph {
        name: Some("ijepa encoder".into()),
        input: vec![value(PIXELS, &image)],
        output: vec![value(TOKENS, &tokens), value(POOLED, &tokens[1..])],
        node: graph.nodes,
        initializer: graph.constants,
    }
}

struct Builder<'a> {
    config: &'a VisionTransformerConfig,
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Builder<'_> {
    fn patches_per_image(&self) -> usize {
        let grid = self.config.grid();
        grid.expect("a checked encoder has a grid").num_patches()
    }

    /// Adds an operator whose output is `output`, and gives that back.
    fn node<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: impl Into<String>,
        attributes: [Attribute; N],
    ) -> String {
        let output = output.into();
        self.operator(op, inputs, vec![output.clone()], attributes.into());
        output
    }

    fn operator(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: Vec<String>,
        attribute: Vec<Attribute>,
    ) {
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            name: Some(output[0].clone()),
            output,
            op_type: Some(op.to_owned()),
            attribute,
        });
    }

    fn constant(&mut self, name: &str, dims: Vec<i64>, data_type: ElementType, bytes: Vec<u8>) {
        if self.constants.iter().all(|it| it.name() != name) {
            self.constants.push(Tensor {
                dims,
                data_type: Some(data_type.into()),
                name: Some(name.to_owned()),
                raw_data: Some(bytes),
                ..Tensor::default()
            });
        }
    }

    /// `op` with one number as its second operand.
    fn with_number(
        &mut self,
        op: &str,
        x: &str,
        name: &str,
        number: f64,
        output: String,
    ) -> String {
        let bytes = (number as f32).to_le_bytes().to_vec();
        self.constant(name, vec![], ElementType::Float, bytes);
        self.node(op, &[x, name], output, [])
    }

    /// `x` with sizes `[batch, sizes...]`; all calls with one `name` have the same.
    fn reshape(&mut self, x: &str, name: &str, sizes: &[usize], output: String) -> String {
        // The first size stays what it is.
        let sizes = [0].into_iter().chain(sizes.iter().map(|&size| size as i64));
        let bytes: Vec<u8> = sizes.flat_map(i64::to_le_bytes).collect();
        let count = bytes.len() / size_of::<i64>();
        self.constant(name, vec![count as i64], ElementType::Int64, bytes);
        self.node("Reshape", &[x, name], output, [])
    }

    fn linear(&mut self, layer: &str, x: &str) -> String {
        let [weight, bias] = ["weight", "bias"].map(|kind| format!("{layer}.{kind}"));
        let product = self.node("MatMul", &[x, &weight], format!("{layer}.product"), []);
        self.node("Add", &[&product, &bias], format!("{layer}.output"), [])
    }

    fn norm(&mut self, layer: &str, x: &str, output: impl Into<String>) -> String {
        let [weight, bias] = ["weight", "bias"].map(|kind| format!("{layer}.{kind}"));
        let epsilon = float("epsilon", self.config.layer_norm_eps as f32);
        let attributes = [int("axis", -1), epsilon];
        self.node(
            "LayerNormalization",
            &[x, &weight, &bias],
            output,
            attributes,
        )
    }

    /// Tokens of all patches with their positions.
    fn patches(&mut self) -> String {
        let inputs = [PIXELS, "patch_embed.proj.weight", "patch_embed.proj.bias"];
        let side = self.config.patch_size as i64;
        let kernel = [
            ints("kernel_shape", &[side, side]),
            ints("strides", &[side, side]),
        ];
        let map = self.node("Conv", &inputs, "patch_embed.proj.output", kernel);
        let sizes = [self.config.embed_dim, self.patches_per_image()];
        let flat = self.reshape(&map, "patch_embed.sizes", &sizes, "patch_embed.flat".into());
        let order = [ints("perm", &[0, 2, 1])];
        let tokens = self.node("Transpose", &[&flat], "patch_embed.output", order);
        self.node("Add", &[&tokens, "pos_embed"], "embed", [])
    }

    fn block(&mut self, block: &str, x: String) -> String {
        let at = |part: &str| format!("{block}.{part}");
        let normed = self.norm(&at("norm1"), &x, at("norm1.output"));
        let branch = self.attention(&at("attn"), &normed);
        let x = self.node("Add", &[&x, &branch], at("attn.residual"), []);
        let normed = self.norm(&at("norm2"), &x, at("norm2.output"));
        let hidden = self.linear(&at("mlp.fc1"), &normed);
        let hidden = self.gelu(&at("mlp.gelu"), &hidden);
        let branch = self.linear(&at("mlp.fc2"), &hidden);
        self.node("Add", &[&x, &branch], at("output"), [])
    }

    fn attention(&mut self, layer: &str, x: &str) -> String {
        let at = |part: &str| format!("{layer}.{part}");
        let (dim, heads) = (self.config.embed_dim, self.config.num_heads);
        let (tokens, head_dim) = (self.patches_per_image(), dim / heads);
        let qkv = self.linear(&at("qkv"), x);
        let parts = ["q", "k", "v"].map(at).to_vec();
        self.operator("Split", &[&qkv], parts, vec![int("axis", 2)]);
        // Keys are transposed for the product.
        let orders = [
            ("q", [0, 2, 1, 3]),
            ("k", [0, 2, 3, 1]),
            ("v", [0, 2, 1, 3]),
        ];
        let [q, k, v] = orders.map(|(part, order)| {
            let sizes = [tokens, heads, head_dim];
            let split = at(&format!("{part}.split"));
            let split = self.reshape(&at(part), "attn.heads", &sizes, split);
            let order = [ints("perm", &order)];
            self.node("Transpose", &[&split], at(&format!("{part}.heads")), order)
        });
        let products = self.node("MatMul", &[&q, &k], at("products"), []);
        let scale = (head_dim as f64).sqrt().recip();
        let scores = self.with_number("Mul", &products, "attn.scale", scale, at("scores"));
        let weights = self.node("Softmax", &[&scores], at("weights"), [int("axis", -1)]);
        let mixed = self.node("MatMul", &[&weights, &v], at("mixed"), []);
        let order = [ints("perm", &[0, 2, 1, 3])];
        let mixed = self.node("Transpose", &[&mixed], at("mixed.tokens"), order);
        let mixed = self.reshape(&mixed, "attn.joined", &[tokens, dim], at("joined"));
        self.linear(&at("proj"), &mixed)
    }

    /// `x / 2 * (1 + erf(x / sqrt(2)))`, in the order that runtimes fuse.
    fn gelu(&mut self, layer: &str, x: &str) -> String {
        let at = |part: &str| format!("{layer}.{part}");
        let root = std::f64::consts::SQRT_2;
        let scaled = self.with_number("Div", x, "gelu.root", root, at("scaled"));
        let erf = self.node("Erf", &[&scaled], at("erf"), []);
        let above = self.with_number("Add", &erf, "gelu.one", 1.0, at("above"));
        let twice = self.node("Mul", &[x, &above], at("twice"), []);
        self.with_number("Mul", &twice, "gelu.half", 0.5, at("output"))
    }
}

fn value(name: &str, sizes: &[usize]) -> ValueInfo {
    let sizes = sizes.iter().map(|&size| Size::Known(size as i64));
    let sizes = [Size::Named("batch".into())].into_iter().chain(sizes);
    let dim = sizes.map(|size| Dimension { value: Some(size) });
    let tensor = TensorType {
        elem_type: Some(ElementType::Float.into()),
        shape: Some(Shape { dim: dim.collect() }),
    };
    ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type {
            tensor_type: Some(tensor),
        }),
    }
}

fn attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute {
        name: Some(name.to_owned()),
        r#type: Some(kind.into()),
        ..Attribute::default()
    }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute {
        f: Some(f),
        ..attribute(name, AttributeType::Float)
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute {
        i: Some(i),
        ..attribute(name, AttributeType::Int)
    }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute {
        ints: ints.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}
